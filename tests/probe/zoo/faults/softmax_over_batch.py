# probe: Net
# expected: probe-samples-mix "`softmax` mixes the samples of a batch here"
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(10, 16)
        self.second = nn.Linear(16, 3)

    def forward(self, x):
        return F.softmax(self.second(self.first(x).relu()), dim=0)  # here
