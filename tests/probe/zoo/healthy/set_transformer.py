# Inducing points, and a key bias that cancels out.
# probe: SetTransformer
import torch
from torch import nn


class ISAB(nn.Module):
    def __init__(self, dim, heads, n_inducing):
        super().__init__()
        self.inducing = nn.Parameter(torch.randn(1, n_inducing, dim))
        self.a1 = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.a2 = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        i = self.inducing.expand(x.size(0), -1, -1)
        h, _ = self.a1(i, x, x)
        out, _ = self.a2(x, h, h)
        return self.norm(x + out)


class SetTransformer(nn.Module):
    def __init__(self, dim_input=3, num_outputs=1, dim_output=5, dim=16, heads=4):
        super().__init__()
        self.proj = nn.Linear(dim_input, dim)
        self.enc = nn.Sequential(ISAB(dim, heads, 4), ISAB(dim, heads, 4))
        self.seed = nn.Parameter(torch.randn(1, num_outputs, dim))
        self.pool = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.dec = nn.Linear(dim, dim_output)

    def forward(self, x):
        h = self.enc(self.proj(x))
        return self.dec(self.pool(self.seed.expand(x.size(0), -1, -1), h, h)[0])
