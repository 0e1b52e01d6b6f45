# probe: script
# expected: probe-cut "cut by `.item()`" on 0.weight 0.bias 2.weight 2.bias
import torch
import torch.nn as nn
import torch.nn.functional as F

x, y = torch.randn(64, 4), torch.randn(64, 1)
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    loss = F.mse_loss(model(xb), yb).item()  # here
    loss = torch.tensor(loss, requires_grad=True)
    loss.backward()
    optimizer.step()
