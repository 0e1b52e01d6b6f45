# probe: Net
# expected: probe-cut "cut by `topk`, which has no gradient," on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.table = nn.Linear(10, 5), nn.Embedding(5, 3)

    def forward(self, x):
        _, index = self.body(x).topk(2, dim=-1)  # here
        return self.table(index).sum(1)
