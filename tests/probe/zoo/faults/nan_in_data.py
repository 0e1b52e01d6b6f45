# probe: script
# expected: probe-data-not-finite "2 values of the batch are NaN or infinite"
# expected: probe-not-finite "gradient not finite" on weight bias
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
x[3, :2] = float('nan')
model = nn.Linear(4, 1)  # cause
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    pred = model(xb)  # here
    F.mse_loss(pred, yb).backward()
    optimizer.step()
