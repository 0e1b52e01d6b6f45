# probe: script
# expected: probe-zero-gradient "its input is always 0" on body.weight
import torch
import torch.nn as nn
import torch.nn.functional as F
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)  # cause
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        h = self.body(torch.zeros_like(x))  # here
        return self.head(h.tanh() + x.sum(1, keepdim=True))

torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), 0.01)
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    F.mse_loss(model(xb), yb).backward()
    optimizer.step()
