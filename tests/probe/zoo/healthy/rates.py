# A warm-up from 0, large rates on weights that begin at 0, and Adam's first steps.
# probe: script
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 3))
nn.init.zeros_(model[2].weight)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 1000))
for _ in range(20):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(torch.randn(16, 20)), torch.randint(0, 3, (16,))).backward()
    optimizer.step()
    schedule.step()
