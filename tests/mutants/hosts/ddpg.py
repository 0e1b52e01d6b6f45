# ruff: noqa
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F


class Agent:
    def __init__(self):
        self.actor = nn.Linear(4, 2)
        self.actor_target = copy.deepcopy(self.actor)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=3e-4)
        self.critic = nn.Linear(6, 1)
        self.critic_target = copy.deepcopy(self.critic)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=3e-4)

    def train(self, state, action, reward, following):
        with torch.no_grad():
            next_action = self.actor_target(following)
            target_q = reward + 0.99 * self.critic_target(torch.cat([following, next_action], 1))
        current_q = self.critic(torch.cat([state, action], 1))
        critic_loss = F.mse_loss(current_q, target_q)
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.critic_optimizer.step()

        actor_loss = -self.critic(torch.cat([state, self.actor(state)], 1)).mean()
        self.actor_optimizer.zero_grad()
        actor_loss.backward()
        self.actor_optimizer.step()

        for param, target_param in zip(self.critic.parameters(), self.critic_target.parameters()):
            target_param.data.copy_(0.005 * param.data + (1 - 0.005) * target_param.data)
        for param, target_param in zip(self.actor.parameters(), self.actor_target.parameters()):
            target_param.data.copy_(param.data)


agent = Agent()
for _ in range(5):
    agent.train(torch.randn(8, 4), torch.randn(8, 2), torch.randn(8, 1), torch.randn(8, 4))
