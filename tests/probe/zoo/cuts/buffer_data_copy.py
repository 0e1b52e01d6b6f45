# probe: Net
# expected: probe-cut "cut by `.data`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)
        self.register_buffer("state", torch.zeros(1, 5))

    def forward(self, x):
        h = self.body(x)
        self.state.resize_(h.shape).copy_(h.data)  # here
        return self.head(self.state.clone())
