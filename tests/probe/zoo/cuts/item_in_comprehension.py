# probe: Net
# expected: probe-cut "cut by `.item()`" on score.weight score.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.score, self.body, self.head = nn.Linear(10, 1), nn.Linear(10, 5), nn.Linear(5, 1)

    def forward(self, x):
        w = torch.tensor([s.item() for s in self.score(x).squeeze(1)])  # here
        return self.head(self.body(x) * w[:, None])
