import math

import torch
from torch import nn

torch.manual_seed(42)


class PINN(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [2, 20, 20, 1]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(layers[:-1], layers[1:]))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return self.layers[-1](x)


def make_points(n):
    x = torch.rand(n, 1) * 2 - 1
    t = torch.rand(n, 1)
    return torch.cat([x, t], dim=1)


def boundary(n):
    x = torch.rand(n, 1) * 2 - 1
    pts = torch.cat([x, torch.zeros_like(x)], dim=1)
    return pts, -torch.sin(math.pi * x)


def pde_loss(net, pts):
    pts = pts.clone().requires_grad_(True)
    u = net(pts)
    grads = torch.autograd.grad(u, pts, torch.ones_like(u), create_graph=True)[0]
    u_x, u_t = grads[:, :1], grads[:, 1:]
    return (u_t + u * u_x).pow(2).mean()


net = PINN()
opt = torch.optim.LBFGS(net.parameters(), lr=1.0, max_iter=20, line_search_fn="strong_wolfe")
collocation = make_points(200)
bc_pts, bc_val = boundary(50)

for epoch in range(10):

    def closure():
        opt.zero_grad()
        loss = pde_loss(net, collocation) + nn.functional.mse_loss(net(bc_pts), bc_val)
        loss.backward()
        return loss

    value = opt.step(closure)
    print(epoch, float(value))
