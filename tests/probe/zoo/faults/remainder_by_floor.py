# probe: script
# expected: probe-cut "cut by `div`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)  # cause
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        h = torch.div(self.body(x), 0.25, rounding_mode='floor')  # here
        return self.head(h)


torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), 0.01)
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    F.mse_loss(model(xb), yb).backward()
    optimizer.step()
