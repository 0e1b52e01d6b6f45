import torch
import torch.nn as nn
import torch.nn.functional as F


class PiecewiseSchedule:
    def __init__(self, endpoints):
        self.endpoints = endpoints

    def value(self, t):
        for (t0, v0), (t1, v1) in zip(self.endpoints[:-1], self.endpoints[1:]):
            if t0 <= t < t1:
                return v0 + (v1 - v0) * (t - t0) / (t1 - t0)
        return self.endpoints[-1][1]


class TorchPolicy:
    def __init__(self, obs_dim, n_actions, config):
        self.model = nn.Sequential(nn.Linear(obs_dim, 256), nn.Tanh(), nn.Linear(256, n_actions))
        self.cur_lr = config["lr"]
        self.lr_schedule = PiecewiseSchedule(config["lr_schedule"])
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=self.cur_lr)

    def on_global_var_update(self, timestep):
        self.cur_lr = self.lr_schedule.value(timestep)
        for group in self._optimizer.param_groups:
            group["lr"] = self.cur_lr

    def learn_on_batch(self, obs, actions, advantages):
        logp = F.log_softmax(self.model(obs), dim=-1).gather(1, actions[:, None]).squeeze(1)
        loss = -(logp * advantages).mean()
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return {"policy_loss": loss.item(), "cur_lr": self.cur_lr}


policy = TorchPolicy(4, 2, {"lr": 5e-4, "lr_schedule": [(0, 5e-4), (100000, 1e-5)]})
for t in range(0, 100000, 200):
    policy.on_global_var_update(t)
    policy.learn_on_batch(torch.randn(200, 4), torch.randint(0, 2, (200,)), torch.randn(200))
