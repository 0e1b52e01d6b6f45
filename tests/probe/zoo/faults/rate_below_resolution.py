# probe: script
# expected: probe-unmoved "update below float resolution" on 0.weight 0.bias 2.weight 2.bias
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))  # here
optimizer = torch.optim.Adam(model.parameters(), lr=1e-13)  # cause
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    F.mse_loss(model(xb), yb).backward()
    optimizer.step()
