# probe: script
# expected: probe-cut "cut by `.detach()`" on G.weight G.bias
import torch
import torch.nn as nn
import torch.nn.functional as F

x, y = torch.randn(64, 4), torch.randn(64, 1)
G, D = nn.Linear(4, 1), nn.Linear(1, 1)
opt_g, opt_d = torch.optim.Adam(G.parameters()), torch.optim.Adam(D.parameters())
for xb, yb in zip(x.split(16), y.split(16)):
    fake = G(xb).detach()  # here
    loss_d = F.softplus(D(fake)).mean() + F.softplus(-D(yb)).mean()
    opt_d.zero_grad()
    loss_d.backward()
    opt_d.step()
    loss_g = F.softplus(-D(fake)).mean()
    opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()
