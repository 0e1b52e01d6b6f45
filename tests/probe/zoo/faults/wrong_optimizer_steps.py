# probe: script
# expected: probe-unmoved "its optimizer never steps" on critic.weight critic.bias
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
actor = nn.Linear(4, 4)
critic = nn.Linear(4, 1)  # here
actor_opt = torch.optim.Adam(actor.parameters())
critic_opt = torch.optim.Adam(critic.parameters())  # cause
for xb, yb in zip(x.repeat(40, 1).split(16), y.repeat(40, 1).split(16)):
    actor_opt.zero_grad()
    critic_opt.zero_grad()
    F.mse_loss(critic(actor(xb).tanh()), yb).backward()
    actor_opt.step()
    actor_opt.step()
