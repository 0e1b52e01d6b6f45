import random
from collections import deque

import numpy as np
import torch
from torch import nn


class DQNAgent:
    def __init__(self, state_size=16, action_size=4):
        self.gamma = 0.95
        self.epsilon = 0.1
        self.memory = deque(maxlen=2000)
        self.action_size = action_size
        self.model = self._build_model(state_size, action_size)
        self.target_model = self._build_model(state_size, action_size)
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=0.0002)
        self.loss_fn = nn.SmoothL1Loss()

    def _build_model(self, state_size, action_size):
        return nn.Sequential(nn.Linear(state_size, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, action_size))

    def remember(self, state, action, reward, next_state, done):
        self.memory.append((state, action, reward, next_state, done))

    def act(self, state):
        if np.random.rand() <= self.epsilon:
            return random.randrange(self.action_size)
        with torch.no_grad():
            return int(self.model(torch.from_numpy(state).float()).argmax())

    def replay(self, batch_size):
        minibatch = random.sample(self.memory, batch_size)
        states = torch.tensor(np.array([m[0] for m in minibatch]), dtype=torch.float32)
        actions = torch.tensor([m[1] for m in minibatch])
        rewards = torch.tensor([m[2] for m in minibatch], dtype=torch.float32)
        next_states = torch.tensor(np.array([m[3] for m in minibatch]), dtype=torch.float32)
        done = torch.tensor([m[4] for m in minibatch], dtype=torch.float32)
        with torch.no_grad():
            target = rewards + (1 - done) * self.gamma * self.target_model(next_states).max(1).values
        q = self.model(states).gather(1, actions.unsqueeze(1)).squeeze(1)
        loss = self.loss_fn(q, target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def main(episodes=5, batch_size=32):
    agent = DQNAgent()
    for e in range(episodes):
        state, waiting_time = np.random.randn(16), 0.0
        for step in range(40):
            action = agent.act(state)
            next_state = state * 0.9 + np.random.randn(16) * 0.1
            reward = -abs(next_state[action])
            waiting_time -= reward
            agent.remember(state, action, reward, next_state, step == 39)
            state = next_state
            if len(agent.memory) > batch_size:
                agent.replay(batch_size)
        print("episode - {}, total waiting time - {:.2f}".format(e, waiting_time))


if __name__ == "__main__":
    main()
