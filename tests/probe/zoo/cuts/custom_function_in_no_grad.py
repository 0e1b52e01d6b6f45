# probe: Net
# expected: probe-cut "cut by `no_grad`" on body.weight body.bias
import torch
import torch.nn as nn
import torch.nn.functional as F
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(10, 5), nn.Linear(5, 1)

    def forward(self, x):
        with torch.no_grad():  # here
            h = Square.apply(self.body(x))
        return self.head(h)
