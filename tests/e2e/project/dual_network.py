"""Two heads on one body, and an optimizer that was handed only the body."""

import torch
from torch import nn, optim


class DualNetwork(nn.Module):
    def __init__(self, features: int = 10) -> None:
        super().__init__()
        self.shared_layer = nn.Linear(features, 5)
        self.critic_layer = nn.Linear(5, 1)
        self.actor_layer = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.relu(self.shared_layer(x))
        return self.critic_layer(hidden), self.actor_layer(hidden)


def train(steps: int = 20) -> None:
    network = DualNetwork()
    optimizer = optim.Adam(network.shared_layer.parameters(), lr=0.01)
    states, returns = torch.randn(4, 10), torch.randn(4, 1)
    actions = torch.randint(2, (4,))
    for _ in range(steps):
        value, logits = network(states)
        critic_loss = nn.functional.mse_loss(value, returns)
        actor_loss = nn.functional.cross_entropy(logits, actions)
        optimizer.zero_grad()
        (critic_loss + actor_loss).backward()
        optimizer.step()


if __name__ == "__main__":
    train()
