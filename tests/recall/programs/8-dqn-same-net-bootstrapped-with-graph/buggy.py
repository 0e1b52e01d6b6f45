import random

import numpy as np
import torch
import torch.autograd as autograd
import torch.nn as nn


class DQN(nn.Module):
    def __init__(self, input_dim, output_dim):
        super(DQN, self).__init__()
        self.fc = nn.Sequential(nn.Linear(input_dim, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, output_dim))

    def forward(self, state):
        return self.fc(state)


class DQNAgent:
    def __init__(self, input_dim=48, learning_rate=3e-4, gamma=0.99, buffer=None):
        self.gamma = gamma
        self.replay_buffer = buffer
        self.model = DQN(input_dim, 1)
        self.MSE_loss = nn.MSELoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=learning_rate)

    def compute_loss(self, batch):
        states, rewards, next_states, dones = batch
        curr_Q = self.model(states)
        next_Q = self.model(next_states)
        expected_Q = rewards + self.gamma * next_Q * (1 - dones)
        return self.MSE_loss(curr_Q, expected_Q)

    def update(self, batch_size, verbose=False):
        batch = self.replay_buffer.sample(batch_size)
        loss = self.compute_loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


class Buffer:
    def __init__(self):
        self.items = [(np.random.randn(48), random.random(), np.random.randn(48), 0.0) for _ in range(100)]

    def sample(self, n):
        s, r, ns, d = zip(*random.sample(self.items, n))
        as_column = lambda v: torch.tensor(v, dtype=torch.float32).unsqueeze(1)
        return torch.FloatTensor(np.array(s)), as_column(r), torch.FloatTensor(np.array(ns)), as_column(d)


agent = DQNAgent(buffer=Buffer())
for i in range(20):
    print(i, agent.update(16))
