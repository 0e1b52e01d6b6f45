# ruff: noqa
import torch
from torch import nn

net = nn.Linear(4, 1)
optimizer = torch.optim.LBFGS(net.parameters(), lr=0.8)
inputs, target = torch.randn(16, 4), torch.randn(16, 1)
for _ in range(5):

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(inputs), target)
        loss.backward()
        return loss

    optimizer.step(closure)
