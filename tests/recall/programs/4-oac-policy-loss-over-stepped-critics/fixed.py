import torch
import torch.nn as nn
import torch.optim as optim


class FlattenMlp(nn.Module):
    def __init__(self, input_size, output_size, hidden=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(input_size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, output_size)
        )

    def forward(self, *inputs):
        return self.net(torch.cat(inputs, dim=1))


class SACTrainer:
    def __init__(self, obs_dim, action_dim, discount=0.99, lr=3e-4, alpha=0.2):
        self.policy = FlattenMlp(obs_dim, 2 * action_dim)
        self.qf1 = FlattenMlp(obs_dim + action_dim, 1)
        self.qf2 = FlattenMlp(obs_dim + action_dim, 1)
        self.discount, self.alpha = discount, alpha
        self.qf_criterion = nn.MSELoss()
        self.policy_optimizer = optim.Adam(self.policy.parameters(), lr=lr)
        self.qf1_optimizer = optim.Adam(self.qf1.parameters(), lr=lr)
        self.qf2_optimizer = optim.Adam(self.qf2.parameters(), lr=lr)

    def sample(self, obs):
        mean, log_std = self.policy(obs).chunk(2, dim=1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-5, 2).exp())
        action = normal.rsample()
        return torch.tanh(action), normal.log_prob(action).sum(1, keepdim=True)

    def train_from_torch(self, batch):
        obs, actions, rewards, next_obs = batch
        with torch.no_grad():
            next_actions, next_log_pi = self.sample(next_obs)
            next_q = torch.min(self.qf1(next_obs, next_actions), self.qf2(next_obs, next_actions))
            q_target = rewards + self.discount * (next_q - self.alpha * next_log_pi)
        qf1_loss = self.qf_criterion(self.qf1(obs, actions), q_target)
        qf2_loss = self.qf_criterion(self.qf2(obs, actions), q_target)

        self.qf1_optimizer.zero_grad()
        qf1_loss.backward()
        self.qf1_optimizer.step()

        self.qf2_optimizer.zero_grad()
        qf2_loss.backward()
        self.qf2_optimizer.step()

        new_obs_actions, log_pi = self.sample(obs)
        q_new_actions = torch.min(self.qf1(obs, new_obs_actions), self.qf2(obs, new_obs_actions))
        policy_loss = (self.alpha * log_pi - q_new_actions).mean()
        self.policy_optimizer.zero_grad()
        policy_loss.backward()
        self.policy_optimizer.step()
        return qf1_loss.item(), qf2_loss.item(), policy_loss.item()


if __name__ == "__main__":
    trainer = SACTrainer(8, 2)
    batch = (torch.randn(32, 8), torch.rand(32, 2), torch.randn(32, 1), torch.randn(32, 8))
    for _ in range(3):
        print(trainer.train_from_torch(batch))
