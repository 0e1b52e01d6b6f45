# probe: script
# expected: probe-zero-gradient "zeroed by `Scale`" on body.weight body.bias
# expected: probe-wrong-gradient "`Scale.backward` gives `x` a wrong gradient: 0 where"
import torch
import torch.nn as nn
import torch.nn.functional as F


class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):  # here
        return torch.zeros_like(gradient)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 8)  # cause
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        h = self.body(x)
        h = Scale.apply(h)  # here
        return self.head(h)


torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    F.mse_loss(model(xb), yb).backward()
    optimizer.step()
