# probe: script
# expected: probe-cut "cut by `no_grad`" on actor.weight actor.bias
import torch
import torch.nn as nn
import torch.nn.functional as F

x, y = torch.randn(64, 4), torch.randn(64, 1)
actor, critic = nn.Linear(4, 1), nn.Linear(5, 1)
actor_opt, critic_opt = torch.optim.Adam(actor.parameters()), torch.optim.Adam(critic.parameters())
for xb, yb in zip(x.split(16), y.split(16)):
    dist = torch.distributions.Normal(actor(xb), 1.0)
    action = dist.sample()  # here
    actor_loss = -critic(torch.cat([xb, action], 1)).mean()
    actor_opt.zero_grad()
    actor_loss.backward()
    actor_opt.step()
    critic_opt.zero_grad()
    F.mse_loss(critic(torch.cat([xb, action], 1)), yb).backward()
    critic_opt.step()
