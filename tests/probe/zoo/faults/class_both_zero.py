# probe: Net
# expected: probe-zero-gradient "multiplied by `down.weight`, which is 0" on up.weight
# expected: probe-zero-gradient "multiplied by `up.weight`, which is 0" on down.weight
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(10, 5, bias=False), nn.Linear(5, 1)  # cause
        nn.init.zeros_(self.down.weight)
        self.up.weight = nn.Parameter(torch.zeros(1, 5))  # cause

    def forward(self, x):
        h = self.down(x)  # here
        return self.up(h)  # here
