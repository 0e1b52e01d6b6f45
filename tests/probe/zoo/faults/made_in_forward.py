# probe: Net
# expected: probe-made-in-forward "`Linear` is made anew"
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        proj = nn.Linear(8, 8)  # here
        return self.head(proj(self.body(x).relu()))
