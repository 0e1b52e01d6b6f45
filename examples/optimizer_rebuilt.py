"""Momentum never builds up: every epoch begins with a new optimizer that has forgotten the last one's."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Curve(nn.Module):
    """Fits a curve through noisy points."""

    def __init__(self, hidden=32):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, x):
        return self.layers(x)


def points(count=200):
    x = torch.rand(count, 1) * 6 - 3
    return TensorDataset(x, torch.sin(2 * x) + 0.1 * torch.randn(count, 1))


def train_epoch(model, loader, optimizer):
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def main(epochs=40, lr=0.01):
    torch.manual_seed(0)
    loader = DataLoader(points(), batch_size=50, shuffle=True)
    model = Curve()
    for epoch in range(epochs):
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.95)
        loss = train_epoch(model, loader, optimizer)
        if epoch % 10 == 0 or epoch == epochs - 1:
            print(f"epoch {epoch:2d}  loss {loss:.4f}")


if __name__ == "__main__":
    main()
