"""The loss stands still: the home-made optimizer gives its results to a local name instead of the weights."""

import torch
from torch import nn
from torch.optim import Optimizer


class SignMomentum(Optimizer):
    """Steps by the sign of a running mean of the gradients."""

    def __init__(self, params, lr=1e-3, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                mean = state.setdefault("mean", torch.zeros_like(param))
                mean.lerp_(param.grad, 1 - group["beta"])
                param = param - group["lr"] * mean.sign()
        return loss


def sample(count):
    x = torch.rand(count, 4)
    return x, (x.prod(dim=1, keepdim=True) * 8).sqrt()


def main(steps=150, lr=5e-3):
    torch.manual_seed(0)
    x, y = sample(200)
    model = nn.Sequential(nn.Linear(4, 24), nn.SiLU(), nn.Linear(24, 1))
    optimizer = SignMomentum(model.parameters(), lr=lr)
    for step in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            print(f"step {step:3d}  loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
