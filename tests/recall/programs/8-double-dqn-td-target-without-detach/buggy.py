import math
import random
from collections import deque

import torch
import torch.nn as nn
import torch.optim as optim


class MLP(nn.Module):
    def __init__(self, n_states, n_actions, hidden_dim=64):
        super().__init__()
        self.fc1 = nn.Linear(n_states, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, n_actions)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


class DoubleDQN:
    def __init__(self, n_states, n_actions, cfg):
        self.n_actions, self.gamma = n_actions, cfg["gamma"]
        self.sample_count = 0
        self.epsilon = lambda count: 0.01 + 0.89 * math.exp(-count / 500)
        self.policy_net = MLP(n_states, n_actions)
        self.optimizer = optim.Adam(self.policy_net.parameters(), lr=cfg["lr"])
        self.memory = deque(maxlen=10000)
        self.batch_size = cfg["batch_size"]

    def sample_action(self, state):
        self.sample_count += 1
        if random.random() < self.epsilon(self.sample_count):
            return random.randrange(self.n_actions)
        with torch.no_grad():
            return self.policy_net(state.unsqueeze(0)).max(1)[1].item()

    def update(self):
        if len(self.memory) < self.batch_size:
            return
        state, action, reward, next_state, done = zip(*random.sample(self.memory, self.batch_size))
        state, next_state = torch.stack(state), torch.stack(next_state)
        action, reward, done = torch.tensor(action).unsqueeze(1), torch.tensor(reward), torch.tensor(done)
        q_value = self.policy_net(state).gather(1, action).squeeze(1)
        next_q_value = self.policy_net(next_state).max(1)[0]
        expected_q_value = reward + self.gamma * next_q_value * (1 - done)
        loss = nn.MSELoss()(q_value, expected_q_value)
        self.optimizer.zero_grad()
        loss.backward()
        for param in self.policy_net.parameters():
            param.grad.data.clamp_(-1, 1)
        self.optimizer.step()


agent = DoubleDQN(4, 2, {"gamma": 0.95, "lr": 1e-4, "batch_size": 32})
for i_ep in range(5):
    state, ep_reward = torch.randn(4), 0.0
    for _ in range(30):
        action = agent.sample_action(state)
        next_state, reward = state + 0.1 * torch.randn(4), float(action == int(state[0] > 0))
        agent.memory.append((state, action, reward, next_state, 0.0))
        state, ep_reward = next_state, ep_reward + reward
        agent.update()
    print(i_ep, ep_reward)
