# probe: script
# expected: probe-data-constant-features "All 48 samples are the same"
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
x = x[:1].expand(64, 4)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    pred = model(xb)  # here
    F.mse_loss(pred, yb).backward()
    optimizer.step()
