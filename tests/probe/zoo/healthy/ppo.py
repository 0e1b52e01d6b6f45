# Ratios are 1 at first; clipping takes the gradient of some samples only.
# probe: script
import torch
from torch import nn
from torch.distributions import Categorical


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
        self.critic = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))

    def evaluate(self, state, action):
        dist = Categorical(logits=self.actor(state))
        return dist.log_prob(action), self.critic(state).squeeze(-1), dist.entropy()


policy, policy_old = ActorCritic(), ActorCritic()
policy_old.load_state_dict(policy.state_dict())
optimizer = torch.optim.Adam(
    [{"params": policy.actor.parameters(), "lr": 3e-4}, {"params": policy.critic.parameters(), "lr": 1e-3}]
)
for update in range(5):
    with torch.no_grad():
        states = torch.randn(64, 4)
        actions = Categorical(logits=policy_old.actor(states)).sample()
        old_logprobs, _, _ = policy_old.evaluate(states, actions)
        rewards = torch.randn(64)
    for _ in range(4):
        logprobs, values, entropy = policy.evaluate(states, actions)
        advantages = rewards - values.detach()
        ratios = torch.exp(logprobs - old_logprobs.detach())
        surr1, surr2 = ratios * advantages, torch.clamp(ratios, 0.8, 1.2) * advantages
        loss = -torch.min(surr1, surr2) + 0.5 * (values - rewards).pow(2) - 0.01 * entropy
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    policy_old.load_state_dict(policy.state_dict())
