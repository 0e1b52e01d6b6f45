# An inner loop on copies of the weights, by `functional_call`.
# probe: script
import torch
from torch import nn
from torch.func import functional_call

net = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 1))
meta_opt = torch.optim.Adam(net.parameters(), lr=1e-3)


def adapt(x, y, inner_lr=0.01, steps=2):
    fast = dict(net.named_parameters())
    for _ in range(steps):
        loss = (functional_call(net, fast, x) - y).pow(2).mean()
        grads = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
        fast = {k: p - inner_lr * g for (k, p), g in zip(fast.items(), grads)}
    return fast


for iteration in range(10):
    meta_loss = 0.0
    for task in range(3):
        a = torch.rand(1) * 5
        xs, xq = torch.randn(10, 1), torch.randn(10, 1)
        fast = adapt(xs, a * xs.sin())
        meta_loss = meta_loss + (functional_call(net, fast, xq) - a * xq.sin()).pow(2).mean()
    meta_opt.zero_grad()
    meta_loss.backward()
    meta_opt.step()
