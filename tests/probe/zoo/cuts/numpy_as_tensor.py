# probe: Net
# expected: probe-cut "cut by `.detach()`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F
import numpy as np


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

    def forward(self, x):
        h = np.tanh(self.body(x).detach().numpy())  # here
        return self.head(torch.as_tensor(h, dtype=torch.float32))
