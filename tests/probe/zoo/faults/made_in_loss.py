# probe: script
# expected: probe-made-in-forward "`Linear` is made anew"
import torch
import torch.nn as nn
import torch.nn.functional as F
def criterion(h):
    return nn.Linear(8, 1)(h)  # here

torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
model = nn.Linear(4, 8)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    F.mse_loss(criterion(model(xb)), yb).backward()
    optimizer.step()
