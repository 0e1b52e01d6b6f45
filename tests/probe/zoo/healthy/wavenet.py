# Dilated 1-D convolutions with gates and skips.
# probe: WaveNet
import torch
from torch import nn


class GatedBlock(nn.Module):
    def __init__(self, c, d):
        super().__init__()
        self.pad = nn.ConstantPad1d((d, 0), 0.0)
        self.filter, self.gate = nn.Conv1d(c, c, 2, dilation=d), nn.Conv1d(c, c, 2, dilation=d)
        self.res, self.skip = nn.Conv1d(c, c, 1), nn.Conv1d(c, c, 1)

    def forward(self, x):
        p = self.pad(x)
        z = torch.tanh(self.filter(p)) * torch.sigmoid(self.gate(p))
        return x + self.res(z), self.skip(z)


class WaveNet(nn.Module):
    def __init__(self, channels=8, n_classes=16):
        super().__init__()
        self.inp = nn.Conv1d(1, channels, 1)
        self.blocks = nn.ModuleList(GatedBlock(channels, 2**i) for i in range(3))
        self.out = nn.Sequential(nn.ReLU(), nn.Conv1d(channels, n_classes, 1))

    def forward(self, wave):
        x, skips = self.inp(wave), 0
        for block in self.blocks:
            x, s = block(x)
            skips = skips + s
        return self.out(skips + x)
