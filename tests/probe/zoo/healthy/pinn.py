# Derivatives of the network by `autograd.grad`: the last bias has no part in them.
# probe: PINN, script
import torch
from torch import nn


class PINN(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x, t):
        return self.net(torch.cat([x, t], dim=1))


def residual(model, x, t, nu=0.01):
    x.requires_grad_(True)
    t.requires_grad_(True)
    u = model(x, t)
    u_t = torch.autograd.grad(u, t, torch.ones_like(u), create_graph=True)[0]
    u_x = torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True)[0]
    u_xx = torch.autograd.grad(u_x, x, torch.ones_like(u_x), create_graph=True)[0]
    return u_t + u * u_x - nu * u_xx


if __name__ == "__main__":
    model = PINN()
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    for it in range(10):
        x, t = torch.rand(32, 1) * 2 - 1, torch.rand(32, 1)
        x0 = torch.rand(32, 1) * 2 - 1
        loss_f = residual(model, x, t).pow(2).mean()
        loss_0 = (model(x0, torch.zeros_like(x0)) + torch.sin(torch.pi * x0)).pow(2).mean()
        loss = loss_f + loss_0
        opt.zero_grad()
        loss.backward()
        opt.step()
