# probe: Net
# expected: probe-cut "cut by `round`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)  # cause

    def forward(self, x):
        h = self.body(x).round()  # here
        return self.head(h)
