import torch
import torch.nn as nn
import torch.optim as optim


class DQN(nn.Module):
    def __init__(self, obs, n_actions):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(obs, 128), nn.ReLU(), nn.Linear(128, n_actions))

    def forward(self, x):
        return self.net(x)


class CentralControl:
    def __init__(self, observation_space_shape, action_space_shape, gamma, lr, device):
        self.device = device
        self.gamma = gamma
        self.target_nn = DQN(observation_space_shape, action_space_shape).to(device)
        self.moving_nn = DQN(observation_space_shape, action_space_shape).to(device)
        self.optimizer = optim.Adam(self.moving_nn.parameters(), lr=lr)
        self.iteration = 0

    def update_target(self):
        self.target_nn.load_state_dict(self.moving_nn.state_dict())
        self.target_nn = self.moving_nn

    def optimize(self, mini_batch):
        states, actions, rewards, next_states, dones = [t.to(self.device) for t in mini_batch]
        loss = self._loss(states, actions, rewards, next_states, dones)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.iteration += 1
        if self.iteration % 1000 == 0:
            self.update_target()
        return loss.item()

    def _loss(self, states, actions, rewards, next_states, dones):
        q = self.moving_nn(states).gather(1, actions[:, None]).squeeze(-1)
        with torch.no_grad():
            next_q = self.target_nn(next_states).max(1)[0]
            next_q[dones] = 0.0
        return nn.functional.mse_loss(q, rewards + self.gamma * next_q)


cc = CentralControl(8, 4, 0.99, 1e-4, "cpu")
for _ in range(100000):
    batch = torch.randn(32, 8), torch.randint(4, (32,)), torch.randn(32), torch.randn(32, 8), torch.rand(32) < 0.1
    cc.optimize(batch)
