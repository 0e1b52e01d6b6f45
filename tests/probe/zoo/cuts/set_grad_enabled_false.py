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
        torch.set_grad_enabled(False)  # here
        h = self.body(x)
        torch.set_grad_enabled(True)
        return self.head(h)
