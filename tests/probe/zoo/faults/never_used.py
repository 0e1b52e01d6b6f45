# probe: Net
# expected: probe-no-gradient "never used in forward" on head.weight head.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)
        self.head = nn.Linear(8, 1)  # here

    def forward(self, x):
        return self.body(x)
