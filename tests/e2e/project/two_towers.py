"""Two gated towers, one of which holds its gate's gradient back, and a head that nobody asks."""

import torch
from torch import nn, optim


class Tower(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.gate(x)).detach()
        return x + gate * self.mix(self.norm(x))


class TwoTowers(nn.Module):
    def __init__(self, words: int = 50, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.towers = nn.ModuleList([Tower(width), Tower(width)])
        self.spare = nn.Linear(width, width)
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        for tower in self.towers:
            x = tower(x)
        return self.head(x)


def train(steps: int = 20) -> None:
    model = TwoTowers()
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        tokens = torch.randint(50, (8, 12))
        loss = nn.functional.cross_entropy(model(tokens).transpose(1, 2), tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
