# A normalising flow; the scale starts at 0.
# probe: RealNVP, script
import torch
from torch import nn


class Coupling(nn.Module):
    def __init__(self, dim, flip):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(nn.Linear(dim // 2, 16), nn.Tanh(), nn.Linear(16, dim))
        self.scale = nn.Parameter(torch.zeros(dim // 2))

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        if self.flip:
            a, b = b, a
        s, t = self.net(a).chunk(2, dim=1)
        s = torch.tanh(s) * self.scale
        b = b * s.exp() + t
        return torch.cat([b, a] if self.flip else [a, b], dim=1), s.sum(1)


class RealNVP(nn.Module):
    def __init__(self, dim=4, n_layers=4):
        super().__init__()
        self.layers = nn.ModuleList(Coupling(dim, i % 2 == 1) for i in range(n_layers))

    def forward(self, x):
        log_det = 0
        for layer in self.layers:
            x, ld = layer(x)
            log_det = log_det + ld
        return x, log_det


if __name__ == "__main__":
    flow = RealNVP()
    base = torch.distributions.Normal(0.0, 1.0)
    opt = torch.optim.Adam(flow.parameters(), 1e-3)
    for it in range(100):
        z, log_det = flow(torch.randn(32, 4) * 2 + 1)
        loss = -(base.log_prob(z).sum(1) + log_det).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
