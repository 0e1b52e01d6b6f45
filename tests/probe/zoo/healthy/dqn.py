# A target network that is loaded from time to time, and a replay buffer.
# probe: QNetwork, script
import random
from collections import deque, namedtuple

import torch
import torch.nn as nn
import torch.optim as optim

Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))


class QNetwork(nn.Module):
    def __init__(self, n_observations=4, n_actions=2):
        super().__init__()
        self.layer1 = nn.Linear(n_observations, 16)
        self.layer2 = nn.Linear(16, n_actions)

    def forward(self, x):
        return self.layer2(torch.relu(self.layer1(x)))


class Agent:
    def __init__(self):
        self.policy_net, self.target_net = QNetwork(), QNetwork()
        self.target_net.load_state_dict(self.policy_net.state_dict())
        self.optimizer = optim.AdamW(self.policy_net.parameters(), lr=1e-3, amsgrad=True)
        self.memory = deque(maxlen=200)

    def act(self, state):
        if random.random() < 0.3:
            return torch.tensor([[random.randrange(2)]])
        with torch.no_grad():
            return self.policy_net(state).max(1).indices.view(1, 1)

    def optimize(self):
        if len(self.memory) < 16:
            return
        batch = Transition(*zip(*random.sample(self.memory, 16)))
        state, action = torch.cat(batch.state), torch.cat(batch.action)
        q = self.policy_net(state).gather(1, action)
        with torch.no_grad():
            target = torch.cat(batch.reward) + 0.99 * self.target_net(torch.cat(batch.next_state)).max(1).values
        loss = nn.SmoothL1Loss()(q, target.unsqueeze(1))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(self.policy_net.parameters(), 100)
        self.optimizer.step()

    def sync(self, tau=0.005):
        ours, theirs = self.policy_net.state_dict(), self.target_net.state_dict()
        for key in ours:
            theirs[key] = ours[key] * tau + theirs[key] * (1 - tau)
        self.target_net.load_state_dict(theirs)


if __name__ == "__main__":
    agent, state = Agent(), torch.randn(1, 4)
    for t in range(60):
        action = agent.act(state)
        following = state + 0.1 * torch.randn(1, 4)
        agent.memory.append(Transition(state, action, following, torch.randn(1)))
        state = following
        agent.optimize()
        agent.sync()
