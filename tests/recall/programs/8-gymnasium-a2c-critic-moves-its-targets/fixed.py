import torch
import torch.nn as nn
from torch import optim


class A2C(nn.Module):
    def __init__(self, n_features, n_actions, critic_lr, actor_lr, n_envs):
        super().__init__()
        self.n_envs = n_envs
        self.critic = nn.Sequential(nn.Linear(n_features, 32), nn.ReLU(), nn.Linear(32, 1))
        self.actor = nn.Sequential(nn.Linear(n_features, 32), nn.ReLU(), nn.Linear(32, n_actions))
        self.critic_optim = optim.RMSprop(self.critic.parameters(), lr=critic_lr)
        self.actor_optim = optim.RMSprop(self.actor.parameters(), lr=actor_lr)

    def select_action(self, x):
        values = self.critic(x)
        pd = torch.distributions.Categorical(logits=self.actor(x))
        actions = pd.sample()
        return actions, pd.log_prob(actions), values.squeeze(-1), pd.entropy()

    def get_losses(self, rewards, log_probs, values, entropy, masks, gamma=0.999, lam=0.95, ent_coef=0.01):
        T = len(rewards)
        advantages = []
        gae = 0.0
        for t in reversed(range(T - 1)):
            td_error = rewards[t] + gamma * masks[t] * values[t + 1] - values[t]
            gae = td_error + gamma * lam * masks[t] * gae
            advantages.insert(0, gae)
        advantages = torch.stack(advantages)
        returns = (advantages + values[:-1]).detach()
        critic_loss = (returns - values[:-1]).pow(2).mean()
        actor_loss = -(advantages.detach() * log_probs[:-1]).mean() - ent_coef * entropy.mean()
        return critic_loss, actor_loss

    def update_parameters(self, critic_loss, actor_loss):
        self.critic_optim.zero_grad()
        self.actor_optim.zero_grad()
        (critic_loss + actor_loss).backward()
        self.critic_optim.step()
        self.actor_optim.step()


agent = A2C(8, 4, critic_lr=0.005, actor_lr=0.001, n_envs=3)
states = torch.randn(3, 8)
for sample_phase in range(10):
    rewards, log_probs, values, entropies = [], [], [], []
    for step in range(16):
        actions, log_prob, value, entropy = agent.select_action(states)
        states = 0.9 * states + 0.1 * torch.randn(3, 8)
        rewards.append((actions == 1).float())
        log_probs.append(log_prob)
        values.append(value)
        entropies.append(entropy)
    losses = agent.get_losses(
        torch.stack(rewards), torch.stack(log_probs), torch.stack(values), torch.stack(entropies), torch.ones(16, 3)
    )
    agent.update_parameters(*losses)
    print(sample_phase, losses[0].item(), losses[1].item())
