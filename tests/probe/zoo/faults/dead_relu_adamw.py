# probe: script
# expected: probe-zero-gradient "zeroed by `relu`" on body.weight body.bias head.weight
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)  # cause
        self.head = nn.Linear(8, 1)  # cause

    def forward(self, x):
        return self.head(F.relu(self.body(x) - 50))  # here


torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
model = Net()
optimizer = torch.optim.AdamW(model.parameters(), 0.01)
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    F.mse_loss(model(xb), yb).backward()
    optimizer.step()
