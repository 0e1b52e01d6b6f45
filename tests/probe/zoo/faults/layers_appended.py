# probe: Net
# expected: probe-not-registered "not registered" on blocks[0].weight blocks[0].bias blocks[1].weight blocks[1].bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = []  # here
        for _ in range(2):
            self.blocks.append(nn.Linear(4, 4))
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x).relu()
        return self.head(x)
