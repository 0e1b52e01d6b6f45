# probe: DeepSets
import torch
from torch import nn, Tensor


class DeepSets(nn.Module):
    """Input: (batch, n, 3) points and a (batch, n) mask."""

    def __init__(self, d_in: int = 3, d_hidden: int = 16) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(d_in, d_hidden), nn.ELU(), nn.Linear(d_hidden, d_hidden))
        self.rho = nn.Linear(d_hidden, 1)

    def forward(self, points: Tensor) -> Tensor:
        h = self.phi(points)
        return self.rho(torch.logsumexp(h, dim=1)).squeeze(-1)
