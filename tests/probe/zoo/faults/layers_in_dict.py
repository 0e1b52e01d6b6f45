# probe: Net
# expected: probe-not-registered "not registered" on heads['a'].weight heads['a'].bias heads['b'].weight heads['b'].bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)
        self.heads = {'a': nn.Linear(8, 1), 'b': nn.Linear(8, 2)}  # here

    def forward(self, x):
        h = self.body(x).relu()
        return self.heads['a'](h), self.heads['b'](h)
