# ruff: noqa
import torch
from torch import nn


class Descent(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.add_(p.grad, alpha=-group["lr"])
        return loss


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor, None


net = nn.Linear(4, 1)
optimizer = Descent(net.parameters())
for _ in range(5):
    optimizer.zero_grad()
    loss = Scaled.apply(net(torch.randn(8, 4)), 2.0).pow(2).mean()
    loss.backward()
    optimizer.step()
