import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim


class Actor(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.embed = nn.Linear(2, dim)
        self.query = nn.Linear(dim, dim)

    def forward(self, coords):
        enc = torch.tanh(self.embed(coords))
        query = self.query(enc.mean(1))
        mask = torch.zeros(coords.shape[:2])
        tour, log_prob = [], 0
        for _ in range(coords.size(1)):
            logits = torch.einsum("bd,bnd->bn", query, enc) + mask
            dist = torch.distributions.Categorical(logits=logits)
            city = dist.sample()
            log_prob = log_prob + dist.log_prob(city)
            mask = mask.scatter(1, city[:, None], float("-inf"))
            query = self.query(enc[torch.arange(len(city)), city])
            tour.append(city)
        return torch.stack(tour, 1), log_prob


class Critic(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.embed = nn.Linear(2, dim)
        self.out = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(self, coords):
        return self.out(torch.relu(self.embed(coords)).mean(1)).squeeze(-1)


def tour_length(coords, tour):
    ordered = coords.gather(1, tour.unsqueeze(-1).expand(-1, -1, 2))
    return (ordered - ordered.roll(-1, dims=1)).norm(dim=-1).sum(1)


actor, critic = Actor(), Critic()
actor_opt = optim.Adam(actor.parameters(), lr=1e-3)
critic_opt = optim.Adam(critic.parameters(), lr=1e-3)

for step in range(20):
    inputs = torch.rand(16, 8, 2)
    tour, log_prob = actor(inputs)
    reward = tour_length(inputs, tour)
    predictions = critic(inputs)

    actor_loss = torch.mean((reward - predictions) * log_prob)
    critic_loss = F.mse_loss(predictions, reward)

    actor_opt.zero_grad()
    critic_opt.zero_grad()
    loss = actor_loss + critic_loss
    loss.backward()
    nn.utils.clip_grad_norm_(actor.parameters(), 1.0)
    actor_opt.step()
    critic_opt.step()
    if step % 5 == 0:
        print(step, reward.mean().item(), critic_loss.item())
