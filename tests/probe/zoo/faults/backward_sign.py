# probe: Net
# expected: probe-wrong-gradient "`Softplus.backward` gives `x` a wrong gradient: the negative of"
import torch
import torch.nn as nn


class Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return torch.log1p(torch.exp(x * scale)) / scale

    @staticmethod
    def backward(ctx, grad_output):  # here
        (x,) = ctx.saved_tensors
        return -grad_output * torch.sigmoid(x * ctx.scale), None


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 5)  # cause
        self.second = nn.Linear(5, 2)

    def forward(self, x):
        return self.second(Softplus.apply(self.first(x), 2.0))
