from typing import List, Tuple

import numpy as np
import torch
from torch import nn, optim

Task = Tuple[torch.Tensor, torch.Tensor]


class ConvNP(nn.Module):
    def __init__(self, channels: int = 32):
        super().__init__()
        self.unet = nn.Sequential(nn.Conv2d(2, channels, 5, padding=2), nn.ReLU(), nn.Conv2d(channels, 2, 5, padding=2))

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        mean, scale = self.unet(x).chunk(2, dim=1)
        return mean, nn.functional.softplus(scale) + 1e-3

    def loss_fn(self, task: Task) -> torch.Tensor:
        x, y = task
        mean, scale = self(x)
        return -torch.distributions.Normal(mean, scale).log_prob(y).mean()


def train_epoch(
    model: ConvNP,
    tasks: List[Task],
    lr: float = 5e-5,
    batch_size: int = 1,
) -> List[float]:
    opt = optim.Adam(model.parameters(), lr=lr)
    batch_losses = []
    for i in range(0, len(tasks), batch_size):
        opt.zero_grad()
        losses = [model.loss_fn(task) for task in tasks[i : i + batch_size]]
        loss = torch.mean(torch.stack(losses))
        loss.backward()
        opt.step()
        batch_losses.append(loss.item())
    return batch_losses


def main(n_epochs: int = 50) -> None:
    model = ConvNP()
    tasks = [(torch.randn(1, 2, 32, 32), torch.randn(1, 1, 32, 32)) for _ in range(64)]
    for epoch in range(n_epochs):
        losses = train_epoch(model, tasks, batch_size=4)
        print(epoch, np.mean(losses))


if __name__ == "__main__":
    main()
