# ruff: noqa
import torch
import torch.nn as nn
from torch.distributions import Categorical


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine = nn.Linear(4, 16)
        self.action_head = nn.Linear(16, 2)
        self.value_head = nn.Linear(16, 1)

    def forward(self, x):
        x = torch.relu(self.affine(x))
        return torch.softmax(self.action_head(x), dim=-1), self.value_head(x).squeeze(-1)


policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
for _ in range(5):
    probabilities, values = policy(torch.randn(8, 4))
    distribution = Categorical(probabilities)
    action = distribution.sample()
    rewards = torch.randn(8)
    log_prob = distribution.log_prob(action)
    advantage = rewards - values
    policy_losses = [-log_prob * advantage.detach()]
    value_losses = [advantage.pow(2)]
    loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
