# probe: script
import torch
from torch import nn
from torch.distributions import Normal


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.mu = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
        self.log_std = nn.Parameter(torch.zeros(1))

    def forward(self, s):
        return Normal(self.mu(s), self.log_std.exp())


policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
for episode in range(20):
    log_probs, rewards, s = [], [], torch.randn(3)
    for t in range(10):
        dist = policy(s)
        a = dist.sample()
        log_probs.append(dist.log_prob(a))
        s = s + 0.1 * a
        rewards.append(-s.abs().sum().item())
    G = torch.tensor([sum(rewards[i:]) for i in range(10)])
    loss = -(torch.cat(log_probs) * (G - G.mean())).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
