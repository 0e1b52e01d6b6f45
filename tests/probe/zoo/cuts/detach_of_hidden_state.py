# probe: Net
# expected: probe-cut "cut by `.detach()`" on rnn.weight_ih rnn.weight_hh rnn.bias_ih rnn.bias_hh
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRUCell(10, 5), nn.Linear(5, 1)

    def forward(self, x):
        h = x.new_zeros(x.size(0), 5)
        for t in range(x.size(1)):
            h = self.rnn(x[:, t], h)
            h = h.detach()  # here
        return self.head(h)
