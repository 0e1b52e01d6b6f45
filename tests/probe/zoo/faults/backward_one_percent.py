# probe: Net
# expected: probe-wrong-gradient "`Scale.backward` gives `weight` a wrong gradient: "
import torch
import torch.nn as nn


class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight.exp()

    @staticmethod
    def backward(ctx, grad_output):  # here
        x, weight = ctx.saved_tensors
        return grad_output * weight.exp(), (grad_output * x).sum(0) * (weight.exp() + 0.02)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(6))  # cause
        self.layer = nn.Linear(6, 2)

    def forward(self, x):
        return self.layer(Scale.apply(x, self.scale))
