# probe: Net
# expected: probe-not-registered "not registered" on scale
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)
        self.head = nn.Linear(8, 1)
        self.scale = torch.ones(8, requires_grad=True)  # here

    def forward(self, x):
        return self.head(self.body(x).relu() * self.scale)
