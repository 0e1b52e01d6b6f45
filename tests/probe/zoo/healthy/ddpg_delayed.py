# The policy is updated every second time, as in TD3.
# probe: script
import copy

import torch
import torch.nn.functional as F
from torch import nn

actor = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1), nn.Tanh())
critic = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
actor_target, critic_target = copy.deepcopy(actor), copy.deepcopy(critic)
actor_opt = torch.optim.Adam(actor.parameters(), lr=3e-4)
critic_opt = torch.optim.Adam(critic.parameters(), lr=3e-4)
total_it = 0
while total_it < 50:
    total_it += 1
    s, a, r, s2 = torch.randn(16, 3), torch.rand(16, 1), torch.randn(16, 1), torch.randn(16, 3)
    with torch.no_grad():
        noise = (torch.randn_like(a) * 0.2).clamp(-0.5, 0.5)
        y = r + 0.99 * critic_target(torch.cat([s2, (actor_target(s2) + noise).clamp(-1, 1)], 1))
    critic_loss = F.mse_loss(critic(torch.cat([s, a], 1)), y)
    critic_opt.zero_grad()
    critic_loss.backward()
    critic_opt.step()
    if total_it % 2 == 0:
        actor_loss = -critic(torch.cat([s, actor(s)], 1)).mean()
        actor_opt.zero_grad()
        actor_loss.backward()
        actor_opt.step()
        for net, target in [(actor, actor_target), (critic, critic_target)]:
            for p, q in zip(net.parameters(), target.parameters()):
                q.data.copy_(0.005 * p.data + 0.995 * q.data)
