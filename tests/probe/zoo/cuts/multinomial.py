# probe: Net
# expected: probe-cut "cut by `multinomial`, which has no gradient," on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.table = nn.Linear(10, 5), nn.Embedding(5, 3)

    def forward(self, x):
        probs = self.body(x).softmax(-1)
        choice = torch.multinomial(probs, 1).squeeze(1)  # here
        return self.table(choice)
