# Whole blocks are skipped at random.
# probe: Net
import random

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, depth=3, width=16, survival=0.8):
        super().__init__()
        self.inp = nn.Linear(10, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.out = nn.Linear(width, 2)
        self.survival = survival

    def forward(self, x):
        x = self.inp(x)
        for block in self.blocks:
            if self.training and random.random() > self.survival:
                continue
            x = x + torch.relu(block(x))
        return self.out(x)
