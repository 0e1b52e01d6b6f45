# An EMA copy as the target, and a detach on its branch.
# probe: script
import copy

import torch
import torch.nn.functional as F
from torch import nn

online = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
predictor = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
target = copy.deepcopy(online)
for p in target.parameters():
    p.requires_grad = False
optimizer = torch.optim.AdamW([*online.parameters(), *predictor.parameters()], lr=1e-3)


@torch.no_grad()
def update_target(tau=0.99):
    for po, pt in zip(online.parameters(), target.parameters()):
        pt.data.mul_(tau).add_(po.data, alpha=1 - tau)


for step in range(30):
    v1, v2 = torch.randn(16, 8), torch.randn(16, 8)
    with torch.no_grad():
        t1, t2 = target(v1), target(v2)
    p1, p2 = predictor(online(v1)), predictor(online(v2))
    loss = 2 - F.cosine_similarity(p1, t2.detach()).mean() - F.cosine_similarity(p2, t1.detach()).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    update_target()
