import copy
from itertools import count

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim


class FCQ(nn.Module):
    def __init__(self, input_dim, output_dim, hidden_dims=(64, 32)):
        super().__init__()
        self.input_layer = nn.Linear(input_dim, hidden_dims[0])
        self.hidden = nn.Linear(hidden_dims[0], hidden_dims[1])
        self.output_layer = nn.Linear(hidden_dims[1], output_dim)

    def forward(self, state):
        x = torch.relu(self.input_layer(state))
        return self.output_layer(torch.relu(self.hidden(x)))


class DDQN:
    def __init__(self, lr=0.0005, tau=0.005, gamma=0.99):
        self.tau, self.gamma = tau, gamma
        self.online_model = FCQ(4, 2)
        self.target_model = copy.deepcopy(self.online_model)
        self.value_optimizer = optim.RMSprop(self.online_model.parameters(), lr=lr)

    def optimize_model(self, experiences):
        states, actions, rewards, next_states, is_terminals = experiences
        with torch.no_grad():
            argmax_a = self.online_model(next_states).argmax(1, keepdim=True)
            max_a_q = self.target_model(next_states).gather(1, argmax_a)
            target_q = rewards + self.gamma * max_a_q * (1 - is_terminals)
        td_error = self.online_model(states).gather(1, actions) - target_q
        value_loss = td_error.pow(2).mul(0.5).mean()
        self.value_optimizer.zero_grad()
        value_loss.backward()
        nn.utils.clip_grad_norm_(self.online_model.parameters(), 10.0)
        self.value_optimizer.step()
        return value_loss.item()

    def update_network(self):
        for target, online in zip(self.target_model.parameters(), self.online_model.parameters()):
            target_ratio = (1.0 - self.tau) * target.data
            online_ratio = self.tau * online.data
            target.data.copy_(target_ratio + online_ratio)


agent, losses = DDQN(), []
for step in count(1):
    batch = (torch.randn(32, 4), torch.randint(0, 2, (32, 1)), torch.ones(32, 1), torch.randn(32, 4), torch.zeros(32, 1))
    losses.append(agent.optimize_model(batch))
    agent.update_network()
    if step >= 40:
        break
print(np.mean(losses))
