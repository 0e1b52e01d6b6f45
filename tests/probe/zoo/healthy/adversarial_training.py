# A perturbation of the input is found by its own gradients first; those also reach the weights, and are cleared.
# probe: script
import torch
import torch.nn.functional as F
from torch import nn

model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(10):
    x, y = torch.randn(32, 10), torch.randint(0, 3, (32,))
    delta = torch.zeros_like(x, requires_grad=True)
    for _ in range(3):
        loss = F.cross_entropy(model(x + delta), y)
        loss.backward()
        delta.data = (delta + 0.01 * delta.grad.detach().sign()).clamp(-0.1, 0.1)
        delta.grad.zero_()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x + delta.detach()), y)
    loss.backward()
    optimizer.step()
