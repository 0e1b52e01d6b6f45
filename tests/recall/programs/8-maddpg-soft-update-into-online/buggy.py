import copy

import torch
import torch.nn as nn
import torch.nn.functional as F


class ActorNetwork(nn.Module):
    def __init__(self, obs, n_actions):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(obs, 64), nn.ReLU(), nn.Linear(64, n_actions), nn.Tanh())

    def forward(self, s):
        return self.net(s)


class CriticNetwork(nn.Module):
    def __init__(self, obs, n_actions):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(obs + n_actions, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, s, a):
        return self.net(torch.cat([s, a], dim=1))


class Agent:
    def __init__(self, obs=10, n_actions=2, alpha=1e-4, beta=1e-3, gamma=0.99, tau=0.01):
        self.gamma, self.tau = gamma, tau
        self.actor, self.critic = ActorNetwork(obs, n_actions), CriticNetwork(obs, n_actions)
        self.target_actor, self.target_critic = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self.actor_opt = torch.optim.Adam(self.actor.parameters(), lr=alpha)
        self.critic_opt = torch.optim.Adam(self.critic.parameters(), lr=beta)

    def learn(self, batch):
        s, a, r, s_next, done = batch
        with torch.no_grad():
            target = r + self.gamma * (1 - done) * self.target_critic(s_next, self.target_actor(s_next))
        critic_loss = F.mse_loss(self.critic(s, a), target)
        self.critic_opt.zero_grad()
        critic_loss.backward()
        self.critic_opt.step()

        actor_loss = -self.critic(s, self.actor(s)).mean()
        self.actor_opt.zero_grad()
        actor_loss.backward()
        self.actor_opt.step()
        self.update_network_parameters()
        return critic_loss.item()

    def update_network_parameters(self):
        for target_param, param in zip(self.target_actor.parameters(), self.actor.parameters()):
            param.data.copy_(self.tau * param.data + (1 - self.tau) * target_param.data)
        for target_param, param in zip(self.target_critic.parameters(), self.critic.parameters()):
            param.data.copy_(self.tau * param.data + (1 - self.tau) * target_param.data)


agent = Agent()
for step in range(20):
    batch = (torch.randn(32, 10), torch.rand(32, 2), torch.randn(32, 1), torch.randn(32, 10), torch.zeros(32, 1))
    loss = agent.learn(batch)
print(loss)
