"""Only the first and the last layer learn: the blocks between them sit in a plain list, unknown to torch."""

import argparse

import torch
from torch import nn


class ResidualBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.relu(self.linear(self.norm(x)))


class ResidualNetwork(nn.Module):
    def __init__(self, features=5, width=16, depth=3):
        super().__init__()
        self.stem = nn.Linear(features, width)
        self.blocks = [ResidualBlock(width) for _ in range(depth)]
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def interactions(samples, features=5):
    x = torch.randn(samples, features)
    return x, (x[:, :1] * x[:, 1:2]).sin() + x[:, 2:3].abs()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--depth", type=int, default=3)
    args = parser.parse_args()

    torch.manual_seed(0)
    x, y = interactions(256)
    model = ResidualNetwork(depth=args.depth)
    first_block = model.blocks[0].linear.weight.detach().clone()
    print(f"{sum(parameter.numel() for parameter in model.parameters())} parameters")

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(args.steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            print(f"step {step:3d}  loss {loss.item():.4f}")
    change = (model.blocks[0].linear.weight.detach() - first_block).abs().max().item()
    print(f"largest change in the first block: {change}")


if __name__ == "__main__":
    main()
