import random
from collections import deque, namedtuple

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))
BATCH_SIZE, GAMMA = 32, 0.999


class ReplayMemory:
    def __init__(self, capacity):
        self.memory = deque(maxlen=capacity)

    def push(self, *args):
        self.memory.append(Transition(*args))

    def sample(self, batch_size):
        return random.sample(self.memory, batch_size)

    def __len__(self):
        return len(self.memory)


def make_net():
    return nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))


policy_net, target_net = make_net(), make_net()
target_net.load_state_dict(policy_net.state_dict())
target_net.eval()
optimizer = optim.RMSprop(policy_net.parameters())
memory = ReplayMemory(1000)


def optimize_model():
    if len(memory) < BATCH_SIZE:
        return
    batch = Transition(*zip(*memory.sample(BATCH_SIZE)))
    state, next_state = torch.stack(batch.state), torch.stack(batch.next_state)
    action, reward = torch.tensor(batch.action).unsqueeze(1), torch.tensor(batch.reward)
    q_values = policy_net(state).gather(1, action)
    next_values = target_net(next_state).max(1)[0].detach()
    loss = F.smooth_l1_loss(q_values, (next_values * GAMMA + reward).unsqueeze(1))
    optimizer.zero_grad()
    loss.backward()
    for param in policy_net.parameters():
        param.grad.data.clamp_(-1, 1)
    optimizer.step()


for episode in range(5):
    state = torch.randn(4)
    for t in range(30):
        action = random.randrange(2)
        next_state = state + 0.1 * torch.randn(4)
        memory.push(state, action, next_state, 1.0 if action == int(state.sum() > 0) else 0.0)
        state = next_state
        optimize_model()
    target_net.load_state_dict(policy_net.state_dict())
