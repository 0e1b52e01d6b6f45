# A function with its own backward (straight-through sign) and a reversed gradient.
# probe: Net, script
import torch
from torch import nn


class Binarize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * (x.abs() <= 1).float()


class ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha):
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad_output):
        return -ctx.alpha * grad_output, None


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Linear(8, 16)
        self.label = nn.Linear(16, 3)
        self.domain = nn.Linear(16, 2)

    def forward(self, x):
        h = Binarize.apply(self.features(x))
        return self.label(h), self.domain(ReverseGradient.apply(h, 0.5))


if __name__ == "__main__":
    net, ce = Net(), nn.CrossEntropyLoss()
    opt = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(5):
        a, b = net(torch.randn(16, 8))
        loss = ce(a, torch.randint(0, 3, (16,))) + ce(b, torch.randint(0, 2, (16,)))
        opt.zero_grad()
        loss.backward()
        opt.step()
