"""Every gradient is scaled down to nothing: a norm of 0 was meant to switch clipping off."""

import argparse

import torch
from torch import nn


def series(count, length=20):
    """Noisy ramps, and their slopes."""
    slope = torch.randn(count, 1)
    steps = torch.linspace(0, 1, length)
    return (slope * steps + 0.05 * torch.randn(count, length)).unsqueeze(-1), slope


class SlopeEstimator(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.rnn = nn.LSTM(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        _, (last, _) = self.rnn(x)
        return self.out(last[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lr", type=float, default=0.01)
    args = parser.parse_args()

    torch.manual_seed(0)
    model = SlopeEstimator()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    x, slope = series(64)
    for step in range(args.steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), slope)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=0)
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step:2d}  loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
