# probe: Net
# expected: probe-not-in-optimizer "in no optimizer" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)  # here
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.body(x).relu())


def train():
    model = Net()
    optimizer = torch.optim.Adam(model.head.parameters(), lr=1e-3)  # cause
    for _ in range(3):
        optimizer.step()
