# ruff: noqa
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 8, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x, states):
        out, states = self.rnn(x, states)
        return self.head(out), states


def detach(states):
    return [state.detach() for state in states]


model = Model()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
states = (torch.zeros(1, 8, 8), torch.zeros(1, 8, 8))
for _ in range(4):
    inputs = torch.randn(8, 5, 4)
    states = detach(states)
    outputs, states = model(inputs, states)
    loss = (outputs - inputs).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
