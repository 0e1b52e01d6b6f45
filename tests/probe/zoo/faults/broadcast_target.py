# probe: script
# expected: probe-data-broadcast "(16, 1) against (16,) makes a square"
import torch
import torch.nn as nn
import torch.nn.functional as F

x = torch.randn(64, 4)
y = x.sum(1)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    loss = F.mse_loss(model(xb), yb)  # here
    loss.backward()
    optimizer.step()
