# probe: script
# expected: probe-data-single-class "All 48 targets are class 0"
import torch
import torch.nn as nn
import torch.nn.functional as F

x, y = torch.randn(64, 4), torch.zeros(64, dtype=torch.long)
model = nn.Linear(4, 3)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(xb), yb)  # here
    loss.backward()
    optimizer.step()
