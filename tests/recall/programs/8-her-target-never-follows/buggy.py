import random
from collections import deque

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Env(object):
    def __init__(self, num_bits):
        self.num_bits = num_bits

    def reset(self):
        self.state = np.random.randint(2, size=self.num_bits)
        self.target = np.random.randint(2, size=self.num_bits)
        return self.state.copy(), self.target

    def step(self, action):
        self.state[action] = 1 - self.state[action]
        done = bool((self.state == self.target).all())
        return self.state.copy(), 0.0 if done else -1.0, done


class Model(nn.Module):
    def __init__(self, num_inputs, num_outputs, hidden_size=64):
        super(Model, self).__init__()
        self.linear1 = nn.Linear(num_inputs, hidden_size)
        self.linear2 = nn.Linear(hidden_size, num_outputs)

    def forward(self, state, goal):
        x = torch.cat([state, goal], 1)
        return self.linear2(torch.relu(self.linear1(x)))


def update_target(current_model, target_model):
    target_model.load_state_dict(current_model.state_dict())


num_bits = 5
env = Env(num_bits)
model = Model(2 * num_bits, num_bits).to(device)
target_model = Model(2 * num_bits, num_bits).to(device)
update_target(model, target_model)
optimizer = optim.Adam(model.parameters())
replay_buffer = deque(maxlen=10000)


def compute_td_error(batch_size, gamma=0.98):
    if batch_size > len(replay_buffer):
        return None
    state, action, reward, next_state, done, goal = (np.array(v) for v in zip(*random.sample(replay_buffer, batch_size)))
    as_float = lambda a: torch.tensor(a, dtype=torch.float32, device=device)
    state, reward, next_state, done, goal = map(as_float, (state, reward, next_state, done, goal))
    action = torch.tensor(action, device=device).unsqueeze(1)
    q_value = model(state, goal).gather(1, action)
    with torch.no_grad():
        next_q_value = target_model(next_state, goal).max(1)[0].unsqueeze(1)
    expected = reward.unsqueeze(1) + gamma * next_q_value * (1 - done.unsqueeze(1))
    loss = (q_value - expected).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


for frame_idx in range(40):
    state, goal = env.reset()
    for _ in range(num_bits):
        action = random.randrange(num_bits)
        next_state, reward, done = env.step(action)
        replay_buffer.append((state, action, reward, next_state, done, goal))
        state = next_state
        if done:
            break
    loss = compute_td_error(32)
print(loss)
