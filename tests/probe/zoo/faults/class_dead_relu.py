# probe: Net
# expected: probe-zero-gradient "zeroed by `relu`" on body.weight body.bias head.weight
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)  # cause

    def forward(self, x):
        h = self.body(x) - 100.0
        h = F.relu(h)  # here
        return self.head(h)
