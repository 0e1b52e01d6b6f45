import torch
from torch import nn
from torch.nn import functional as F


class MultiScaleNet(nn.Module):
    def __init__(self, channels=(16, 32)):
        super().__init__()
        self.stage1 = nn.Sequential(nn.Conv2d(3, channels[0], 3, 2, 1), nn.ReLU())
        self.stage2 = nn.Sequential(nn.Conv2d(channels[0], channels[1], 3, 2, 1), nn.ReLU())
        self.head1 = nn.Conv2d(channels[0], 1, 1)
        self.head2 = nn.Conv2d(channels[1], 1, 1)

    def forward(self, x):
        a = self.stage1(x)
        b = self.stage2(a)
        return [self.head1(a), self.head2(b)]


def deep_supervision_loss(outputs, mask):
    losses = []
    for out in outputs:
        target = F.interpolate(mask, size=out.shape[-2:], mode="nearest")
        losses.append(F.binary_cross_entropy_with_logits(out, target))
    return torch.stack(losses).mean()


def main():
    model = MultiScaleNet()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for epoch in range(5):
        total = 0.0
        for _ in range(4):
            image, mask = torch.rand(2, 3, 32, 32), (torch.rand(2, 1, 32, 32) > 0.5).float()
            loss = deep_supervision_loss(model(image), mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(epoch, total)


if __name__ == "__main__":
    main()
