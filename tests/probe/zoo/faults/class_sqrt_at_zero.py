# probe: Net
# expected: probe-not-finite "gradient not finite" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(10, 5)  # cause

    def forward(self, x):
        h = (self.body(x) * (x[:, :1] > 0)).square()
        return h.sqrt()  # here
