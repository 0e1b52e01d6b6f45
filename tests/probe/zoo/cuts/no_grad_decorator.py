# probe: Net
# expected: probe-cut "cut by `no_grad`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

    @torch.no_grad()  # here
    def encode(self, x):
        return torch.tanh(self.body(x))

    def forward(self, x):
        return self.head(self.encode(x))
