# probe: Net
# expected: probe-cut "cut by `.item()`" on temperature
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(10, 5)
        self.temperature = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        t = self.temperature.exp().item()  # here
        return self.body(x) / t
