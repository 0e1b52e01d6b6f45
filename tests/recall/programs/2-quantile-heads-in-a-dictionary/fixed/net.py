import torch
from torch import nn

QUANTILES = (0.1, 0.5, 0.9)


class QuantileNet(nn.Module):
    def __init__(self, n_features: int, hidden: int = 64):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU(), nn.Dropout(0.1))
        self.heads = nn.ModuleDict({f"q{int(q * 100)}": nn.Linear(hidden, 1) for q in QUANTILES})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.trunk(x)
        return torch.cat([head(h) for head in self.heads.values()], dim=1)


class PinballLoss(nn.Module):
    def forward(self, pred, target):
        error = target.unsqueeze(1) - pred
        q = torch.tensor(QUANTILES, device=pred.device)
        return torch.maximum(q * error, (q - 1) * error).mean()
