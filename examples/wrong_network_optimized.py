"""The Q-network keeps its first guess: the optimizer holds the target network, which gets no gradient."""

import argparse
import copy

import torch
from torch import nn


class QNetwork(nn.Module):
    def __init__(self, observations=4, actions=2, hidden=32):
        super().__init__()
        self.hidden = nn.Linear(observations, hidden)
        self.values = nn.Linear(hidden, actions)

    def forward(self, state):
        return self.values(torch.relu(self.hidden(state)))


def transitions(count):
    """Random play, rewarded where the action agrees with the sign of the first observation."""
    state, following = torch.randn(2, count, 4)
    action = torch.randint(2, (count,))
    reward = (action == (state[:, 0] > 0)).float()
    return state, action, reward, following


def train(steps, lr, discount=0.9):
    q_network = QNetwork()
    target_network = copy.deepcopy(q_network)
    optimizer = torch.optim.Adam(target_network.parameters(), lr=lr)

    for step in range(steps):
        state, action, reward, following = transitions(128)
        with torch.no_grad():
            goal = reward + discount * target_network(following).max(dim=1).values
        value = q_network(state).gather(1, action[:, None]).squeeze(1)
        loss = nn.functional.smooth_l1_loss(value, goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            target_network.load_state_dict(q_network.state_dict())
            print(f"step {step:3d}  loss {loss.item():.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--lr", type=float, default=0.01)
    args = parser.parse_args()
    torch.manual_seed(0)
    train(args.steps, args.lr)


if __name__ == "__main__":
    main()
