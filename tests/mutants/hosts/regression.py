# ruff: noqa
import torch
import torch.nn.functional as F
from torch import nn

inputs, target = torch.randn(32, 4), torch.randn(32)
net = nn.Linear(4, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(5):
    optimizer.zero_grad()
    output = net(inputs).squeeze(1)
    loss = F.mse_loss(output, target)
    loss.backward()
    optimizer.step()
