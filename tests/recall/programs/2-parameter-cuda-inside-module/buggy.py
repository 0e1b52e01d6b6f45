import torch
import torch.nn as nn
import torch.nn.functional as F


class ChannelScale(nn.Module):
    def __init__(self, channels):
        super(ChannelScale, self).__init__()
        self.w = nn.Parameter(torch.ones(1, channels, 1, 1)).cuda()
        self.b = nn.Parameter(torch.zeros(1, channels, 1, 1)).cuda()

    def forward(self, x):
        return x * self.w + self.b


class Separator(nn.Module):
    def __init__(self):
        super(Separator, self).__init__()
        self.enc = nn.Conv2d(1, 32, 5, padding=2)
        self.scale = ChannelScale(32)
        self.dec = nn.Conv2d(32, 2, 5, padding=2)

    def forward(self, spec):
        return torch.sigmoid(self.dec(F.relu(self.scale(self.enc(spec)))))


if __name__ == "__main__":
    gpu = Separator().cuda()
    optim = torch.optim.Adam(gpu.parameters(), lr=1e-3)
    for step in range(10000):
        mix = torch.rand(8, 1, 128, 64).cuda()
        masks = torch.rand(8, 2, 128, 64).cuda()
        optim.zero_grad()
        F.l1_loss(gpu(mix) * mix, masks * mix).backward()
        optim.step()
