# Twin critics and their targets, a squashed policy, a temperature that is learned.
# probe: script
import copy

import torch
import torch.nn.functional as F
from torch import nn


def mlp(i, o):
    return nn.Sequential(nn.Linear(i, 16), nn.ReLU(), nn.Linear(16, o))


class Actor(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(3, 2)

    def forward(self, s):
        mu, log_std = self.net(s).chunk(2, -1)
        dist = torch.distributions.Normal(mu, log_std.clamp(-5, 2).exp())
        x = dist.rsample()
        a = torch.tanh(x)
        return a, (dist.log_prob(x) - torch.log(1 - a.pow(2) + 1e-6)).sum(-1, keepdim=True)


class SAC:
    def __init__(self):
        self.actor = Actor()
        self.q1, self.q2 = mlp(4, 1), mlp(4, 1)
        self.q1_target, self.q2_target = copy.deepcopy(self.q1), copy.deepcopy(self.q2)
        for p in [*self.q1_target.parameters(), *self.q2_target.parameters()]:
            p.requires_grad = False
        self.log_alpha = torch.zeros(1, requires_grad=True)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), 3e-4)
        self.critic_optimizer = torch.optim.Adam([*self.q1.parameters(), *self.q2.parameters()], 3e-4)
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], 3e-4)

    def update(self, s, a, r, s2):
        with torch.no_grad():
            a2, lp2 = self.actor(s2)
            q = torch.min(self.q1_target(torch.cat([s2, a2], 1)), self.q2_target(torch.cat([s2, a2], 1)))
            y = r + 0.99 * (q - self.log_alpha.exp() * lp2)
        sa = torch.cat([s, a], 1)
        critic_loss = F.mse_loss(self.q1(sa), y) + F.mse_loss(self.q2(sa), y)
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.critic_optimizer.step()

        pi, lp = self.actor(s)
        sp = torch.cat([s, pi], 1)
        actor_loss = (self.log_alpha.exp().detach() * lp - torch.min(self.q1(sp), self.q2(sp))).mean()
        self.actor_optimizer.zero_grad()
        actor_loss.backward()
        self.actor_optimizer.step()

        alpha_loss = -(self.log_alpha * (lp + 1.0).detach()).mean()
        self.alpha_optimizer.zero_grad()
        alpha_loss.backward()
        self.alpha_optimizer.step()
        for net, tgt in [(self.q1, self.q1_target), (self.q2, self.q2_target)]:
            for p, pt in zip(net.parameters(), tgt.parameters()):
                pt.data.lerp_(p.data, 0.005)


agent = SAC()
for _ in range(20):
    agent.update(torch.randn(32, 3), torch.rand(32, 1) * 2 - 1, torch.randn(32, 1), torch.randn(32, 3))
