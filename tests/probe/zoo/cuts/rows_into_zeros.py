# probe: Net
# expected: probe-cut "cut by `.detach()`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

    def forward(self, x):
        out = torch.zeros(x.size(0), 5)
        for i in range(x.size(0)):
            out[i] = self.body(x[i]).detach()  # here
        return self.head(out)
