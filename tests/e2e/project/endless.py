"""A model whose forward pass does not end: only for seeing a probe cancelled."""

import torch
from torch import nn


class Endless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while x is not None:
            x = self.layer(x)
        return x
