"""Every forward pass goes through new random weights: the projection is made in forward and never trained."""

import torch
from torch import nn


class SetEncoder(nn.Module):
    """Sums up a set of points, however many there are."""

    def __init__(self, features=3, hidden=16):
        super().__init__()
        self.hidden = hidden
        self.points = nn.Linear(features, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        pooled = torch.relu(self.points(x)).mean(dim=1)
        projection = nn.Linear(pooled.shape[-1], self.hidden)
        return self.out(torch.tanh(projection(pooled)))


def point_sets(count, size=10):
    """Clouds of points, and how far they spread."""
    spread = torch.rand(count, 1)
    return torch.randn(count, size, 3) * spread[:, None], spread


def main(steps=120):
    torch.manual_seed(0)
    model = SetEncoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(steps):
        x, spread = point_sets(64)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), spread)
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step:3d}  loss {loss.item():.4f}")

    model.eval()
    x, _ = point_sets(1)
    print(f"one set, asked twice: {model(x).item():.3f} and {model(x).item():.3f}")


if __name__ == "__main__":
    main()
