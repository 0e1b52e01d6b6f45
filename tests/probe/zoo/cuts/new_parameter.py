# probe: Net
# expected: probe-cut "cut by a new `nn.Parameter`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

    def forward(self, x):
        h = nn.Parameter(self.body(x))  # here
        return self.head(h)
