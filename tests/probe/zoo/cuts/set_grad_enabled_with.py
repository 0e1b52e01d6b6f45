# probe: Net
# expected: probe-cut "cut by `no_grad`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

    def forward(self, x):
        with torch.set_grad_enabled(not self.training):  # here
            h = self.body(x)
        return self.head(h)
