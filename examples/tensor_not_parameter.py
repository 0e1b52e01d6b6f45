"""The learned temperature stays at its first value: it is a plain tensor, and parameters() leaves it out."""

import torch
from torch import nn


class Matcher(nn.Module):
    """Scores how well two views of an object go together, as contrastive learning does."""

    def __init__(self, features, width=16):
        super().__init__()
        self.left = nn.Linear(features, width)
        self.right = nn.Linear(features, width)
        self.log_temperature = torch.zeros(1, requires_grad=True)

    def forward(self, left, right):
        left = nn.functional.normalize(self.left(left), dim=-1)
        right = nn.functional.normalize(self.right(right), dim=-1)
        return left @ right.T * self.log_temperature.exp()


def views(objects, features=8):
    """Two noisy views of each object."""
    clean = torch.randn(objects, features)
    return clean + 0.1 * torch.randn_like(clean), clean.flip(1) + 0.1 * torch.randn_like(clean)


def train(model, steps=200, lr=0.01):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    target = torch.arange(32)
    for step in range(steps):
        optimizer.zero_grad()
        scores = model(*views(32))
        loss = nn.functional.cross_entropy(scores, target)
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            temperature = model.log_temperature.exp().item()
            print(f"step {step:3d}  loss {loss.item():.3f}  temperature {temperature:.3f}")


if __name__ == "__main__":
    torch.manual_seed(0)
    train(Matcher(features=8))
