# probe: script
# expected: probe-cleared "cleared before the step" on weight bias
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
model = nn.Linear(4, 1)  # here
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for xb, yb in zip(x.split(16), y.split(16)):
    loss = F.mse_loss(model(xb), yb)
    loss.backward()
    model.zero_grad()  # cause
    optimizer.step()
