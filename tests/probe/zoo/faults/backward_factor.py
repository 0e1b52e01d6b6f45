# probe: Net
# expected: probe-wrong-gradient "`Square.backward` gives `x` a wrong gradient: 0.5 times"
import torch
import torch.nn as nn


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad_output):  # here
        (x,) = ctx.saved_tensors
        return grad_output * x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 5)  # cause
        self.second = nn.Linear(5, 2)

    def forward(self, x):
        return self.second(Square.apply(self.first(x)))
