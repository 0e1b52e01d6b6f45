# ruff: noqa
import torch
from torch import nn

net = nn.Linear(4, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cpu")
for _ in range(5):
    inputs, target = torch.randn(8, 4), torch.randint(0, 2, (8,))
    optimizer.zero_grad()
    with torch.autocast("cpu"):
        loss = nn.functional.cross_entropy(net(inputs), target)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
