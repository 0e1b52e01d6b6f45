# probe: Net
# expected: probe-cut "cut by `gt`, which has no gradient," on gate.weight gate.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.body = nn.Linear(10, 5), nn.Linear(10, 5)

    def forward(self, x):
        keep = (self.gate(x) > 0).float()  # here
        return self.body(x) * keep
