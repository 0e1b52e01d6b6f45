"""The optimizer steps and nothing moves: the gradients that autograd.grad returned are only looked at."""

import torch
from torch import nn


class Surrogate(nn.Module):
    """A small network that stands in for a slow simulation."""

    def __init__(self, inputs=3, hidden=20):
        super().__init__()
        self.body = nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.out(torch.tanh(self.body(x)))


def simulate(x):
    return torch.sin(x[:, :1]) * x[:, 1:2] + 0.5 * x[:, 2:]


def fit(model, x, y, steps=200, lr=0.01):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for step in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        size = torch.stack([gradient.norm() for gradient in gradients]).norm()
        optimizer.step()
        if step % 40 == 0:
            print(f"step {step:3d}  loss {loss.item():.4f}  gradient {size.item():.3f}")


def main():
    torch.manual_seed(0)
    x = torch.rand(128, 3) * 4 - 2
    y = simulate(x)
    model = Surrogate()
    fit(model, x, y)
    with torch.no_grad():
        worst = (model(x) - y).abs().max().item()
    print(f"largest error after fitting: {worst:.2f}")


if __name__ == "__main__":
    main()
