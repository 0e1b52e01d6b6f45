import torch
import torch.nn as nn
import torch.nn.functional as F


class Encoder(nn.Module):
    def __init__(self, obs_shape):
        super().__init__()
        self.convnet = nn.Sequential(nn.Conv2d(obs_shape[0], 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU())
        with torch.no_grad():
            self.repr_dim = self.convnet(torch.zeros(1, *obs_shape)).flatten(1).shape[1]

    def forward(self, obs):
        return self.convnet(obs / 255.0 - 0.5).flatten(1)


class CIC(nn.Module):
    def __init__(self, obs_dim, skill_dim, hidden=64):
        super().__init__()
        self.state_net = nn.Sequential(nn.Linear(obs_dim, hidden), nn.ReLU(), nn.Linear(hidden, skill_dim))
        self.pred_net = nn.Sequential(nn.Linear(2 * skill_dim, hidden), nn.ReLU(), nn.Linear(hidden, skill_dim))

    def forward(self, state, next_state, skill):
        s, ns = self.state_net(state), self.state_net(next_state)
        return skill, self.pred_net(torch.cat([s, ns], 1))


class CICAgent:
    def __init__(self, obs_shape=(3, 24, 24), skill_dim=16, lr=1e-4, temp=0.5):
        self.temp = temp
        self.encoder = Encoder(obs_shape)
        self.cic = CIC(self.encoder.repr_dim, skill_dim)
        self.encoder_opt = torch.optim.Adam(self.encoder.parameters(), lr=lr)
        self.cic_optimizer = torch.optim.Adam(self.cic.parameters(), lr=lr)

    def cpc_loss(self, obs, next_obs, skill):
        query, key = self.cic(obs, next_obs, skill)
        logits = F.normalize(query, dim=1) @ F.normalize(key, dim=1).t() / self.temp
        return F.cross_entropy(logits, torch.arange(len(logits)))

    def update_cic(self, obs, skill, next_obs):
        loss = self.cpc_loss(obs, next_obs, skill)
        self.encoder_opt.zero_grad()
        self.cic_optimizer.zero_grad()
        loss.backward()
        self.cic_optimizer.step()
        self.encoder_opt.step()
        return loss.item()

    def update(self, batch):
        obs, next_obs, skill = batch
        obs = self.encoder(obs)
        next_obs = self.encoder(next_obs)
        return self.update_cic(obs, skill, next_obs)


agent = CICAgent()
for step in range(5):
    frames = torch.randint(0, 256, (2, 8, 3, 24, 24)).float()
    print(step, agent.update((frames[0], frames[1], torch.rand(8, 16))))
