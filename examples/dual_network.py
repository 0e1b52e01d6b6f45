"""The critic and the actor stay at their random start: the optimizer was given the shared layer alone."""

import argparse

import torch
from torch import nn


class DualNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared_layer = nn.Linear(10, 5)
        self.critic_layer = nn.Linear(5, 1)
        self.actor_layer = nn.Linear(5, 2)

    def forward(self, x):
        hidden = torch.relu(self.shared_layer(x))
        return self.critic_layer(hidden), self.actor_layer(hidden)


def rollouts(episodes, length=32):
    """States of a toy environment, the action that was best in each, and the return that followed."""
    for _ in range(episodes):
        states = torch.randn(length, 10)
        actions = (states[:, 0] > 0).long()
        returns = states[:, 1:3].sum(dim=1, keepdim=True)
        yield states, actions, returns


def train(episodes, lr):
    network = DualNetwork()
    optimizer = torch.optim.Adam(network.shared_layer.parameters(), lr=lr)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}

    for episode, (states, actions, returns) in enumerate(rollouts(episodes)):
        optimizer.zero_grad()
        value, logits = network(states)
        critic_loss = nn.functional.mse_loss(value, returns)
        actor_loss = nn.functional.cross_entropy(logits, actions)
        loss = critic_loss + actor_loss
        loss.backward()
        optimizer.step()
        if episode % 50 == 0:
            print(f"episode {episode:3d}  critic {critic_loss.item():.3f}  actor {actor_loss.item():.3f}")

    for name, parameter in network.named_parameters():
        change = (parameter.detach() - before[name]).norm().item()
        print(f"{name:20s} moved by {change:.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--lr", type=float, default=0.01)
    args = parser.parse_args()
    torch.manual_seed(0)
    train(args.episodes, args.lr)


if __name__ == "__main__":
    main()
