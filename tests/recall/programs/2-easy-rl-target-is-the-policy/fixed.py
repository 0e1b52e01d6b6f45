import math
import random

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim


class QNet(nn.Module):
    def __init__(self, n_states, n_actions, hidden_dim=128):
        super().__init__()
        self.fc1 = nn.Linear(n_states, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, n_actions)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


class DQN:
    def __init__(self, model, memory, cfg):
        self.n_actions = cfg["n_actions"]
        self.device = torch.device(cfg["device"])
        self.gamma = cfg["gamma"]
        self.target_update = cfg["target_update"]
        self.sample_count = 0
        self.policy_net = model.to(self.device)
        self.target_net = QNet(cfg["n_states"], cfg["n_actions"]).to(self.device)
        self.target_net.load_state_dict(self.policy_net.state_dict())
        self.optimizer = optim.Adam(self.policy_net.parameters(), lr=cfg["lr"])
        self.memory = memory
        self.batch_size = cfg["batch_size"]

    def sample_action(self, state):
        self.sample_count += 1
        if random.random() > 0.05 + 0.9 * math.exp(-self.sample_count / 500):
            with torch.no_grad():
                state = torch.tensor(state, device=self.device, dtype=torch.float32).unsqueeze(0)
                return self.policy_net(state).max(1)[1].item()
        return random.randrange(self.n_actions)

    def update(self):
        s, a, r, s2, done = self.memory.sample(self.batch_size)
        s = torch.tensor(np.array(s), device=self.device, dtype=torch.float)
        a = torch.tensor(a, device=self.device).unsqueeze(1)
        r = torch.tensor(r, device=self.device, dtype=torch.float).unsqueeze(1)
        s2 = torch.tensor(np.array(s2), device=self.device, dtype=torch.float)
        done = torch.tensor(np.float32(done), device=self.device).unsqueeze(1)
        q = self.policy_net(s).gather(dim=1, index=a)
        next_q = self.target_net(s2).max(1)[0].detach().unsqueeze(1)
        expected = r + self.gamma * next_q * (1 - done)
        loss = nn.MSELoss()(q, expected)
        self.optimizer.zero_grad()
        loss.backward()
        for p in self.policy_net.parameters():
            p.grad.data.clamp_(-1, 1)
        self.optimizer.step()
        if self.sample_count % self.target_update == 0:
            self.target_net.load_state_dict(self.policy_net.state_dict())


if __name__ == "__main__":
    cfg = dict(n_states=4, n_actions=2, device="cpu", gamma=0.95, target_update=4, lr=1e-4, batch_size=64)
    agent = DQN(QNet(4, 2), None, cfg)
