# probe: Net
# expected: probe-cut "cut by `.detach()`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)
        self.cut = lambda t: t.detach()  # here

    def forward(self, x):
        return self.head(self.cut(self.body(x)))
