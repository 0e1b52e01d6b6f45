# probe: script
import torch
from torch import nn


class Cross(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(6, 8), nn.Linear(5, 8), nn.Linear(5, 8)
        self.bilinear = nn.Bilinear(8, 6, 2)

    def forward(self, a, b, pad):
        scores = self.q(a) @ self.k(b).transpose(1, 2) / 8**0.5
        scores = scores.masked_fill(pad[:, None], torch.finfo(scores.dtype).min)
        return self.bilinear((scores.softmax(-1) @ self.v(b)).mean(1), a.mean(1))


net = Cross()
opt = torch.optim.RAdam(net.parameters(), 1e-3)
for _ in range(8):
    a, b = torch.randn(16, 4, 6), torch.randn(16, 7, 5)
    pad = torch.arange(7)[None] >= torch.randint(1, 8, (16, 1))
    loss = nn.functional.cross_entropy(net(a, b, pad), torch.randint(0, 2, (16,)))
    opt.zero_grad()
    loss.backward()
    opt.step()
