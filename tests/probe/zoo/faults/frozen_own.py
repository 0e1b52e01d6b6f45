# probe: Net
# expected: probe-frozen "frozen" on weight
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 8))  # here
        self.weight.requires_grad = False  # cause
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(x @ self.weight)


model = Net()
optimizer = torch.optim.Adam(model.parameters())
