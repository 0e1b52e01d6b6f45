# probe: Net
# expected: probe-unmoved "learning rate 0" on body.weight body.bias head.weight head.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 1)  # here

    def forward(self, x):
        return self.head(self.body(x).relu())


net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=0)  # cause
