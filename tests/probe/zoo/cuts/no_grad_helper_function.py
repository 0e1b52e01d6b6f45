# probe: Net
# expected: probe-cut "cut by `no_grad`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F
def frozen_call(layer, x):
    with torch.no_grad():  # here
        return layer(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

    def forward(self, x):
        return self.head(frozen_call(self.body, x))
