# probe: script
# expected: probe-update-large "Each step changes `0`, `2` by"
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))  # cause
optimizer = torch.optim.Adam(model.parameters(), lr=10.0)  # here
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    F.mse_loss(model(xb), yb).backward()
    optimizer.step()
