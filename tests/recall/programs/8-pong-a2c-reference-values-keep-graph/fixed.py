import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Categorical


class ACModel(nn.Module):
    def __init__(self, obs=12, n_actions=4):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(obs, 64), nn.Tanh())
        self.actor = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, n_actions))
        self.critic = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, obs):
        x = self.body(obs)
        return Categorical(logits=F.log_softmax(self.actor(x), dim=1)), self.critic(x).squeeze(1)


class A2CAlgo:
    def __init__(self, acmodel, lr, entropy_coef=0.01, value_loss_coef=0.5, max_grad_norm=0.5):
        self.acmodel = acmodel
        self.entropy_coef = entropy_coef
        self.value_loss_coef = value_loss_coef
        self.max_grad_norm = max_grad_norm
        self.optimizer = torch.optim.RMSprop(self.acmodel.parameters(), lr, alpha=0.99, eps=1e-8)

    def update_parameters(self, obs, action, reward, last_obs):
        with torch.no_grad():
            _, last_value = self.acmodel(last_obs)
        returnn = reward + 0.99**4 * last_value
        dist, value = self.acmodel(obs)
        advantage = returnn - value.detach()
        entropy = dist.entropy().mean()
        policy_loss = -(dist.log_prob(action) * advantage).mean()
        value_loss = F.mse_loss(value, returnn)
        loss = policy_loss - self.entropy_coef * entropy + self.value_loss_coef * value_loss

        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.acmodel.parameters(), self.max_grad_norm)
        self.optimizer.step()
        return {"policy_loss": policy_loss.item(), "value_loss": value_loss.item()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.001)
    args = parser.parse_args()
    algo = A2CAlgo(ACModel(), args.lr)
    for update in range(10):
        logs = algo.update_parameters(torch.randn(32, 12), torch.randint(0, 4, (32,)), torch.rand(32), torch.randn(32, 12))
    print(logs)
