# ruff: noqa
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class QNetwork(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.first = nn.Linear(size, 16)
        self.last = nn.Linear(16, 2)

    def forward(self, x):
        return self.last(F.relu(self.first(x)))


q_network = QNetwork(4)
optimizer = optim.Adam(q_network.parameters(), lr=1e-3)
target_network = QNetwork(4)
target_network.load_state_dict(q_network.state_dict())
tau = 0.01
for step in range(20):
    states, following = torch.randn(8, 4), torch.randn(8, 4)
    rewards, actions = torch.randn(8), torch.randint(0, 2, (8, 1))
    with torch.no_grad():
        target = rewards + 0.9 * target_network(following).max(dim=1).values
    chosen = q_network(states).gather(1, actions).squeeze(1)
    loss = F.mse_loss(chosen, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for target_param, param in zip(target_network.parameters(), q_network.parameters()):
        target_param.data.copy_(tau * param.data + (1 - tau) * target_param.data)
    if step % 10 == 0:
        target_network.load_state_dict(q_network.state_dict())

final = copy.deepcopy(q_network)
