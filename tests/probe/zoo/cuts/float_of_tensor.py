# probe: Net
# expected: probe-cut "cut by `float(…)`" on gate.weight gate.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.body = nn.Linear(10, 1), nn.Linear(10, 5)

    def forward(self, x):
        g = float(torch.sigmoid(self.gate(x)).mean())  # here
        return g * self.body(x)
