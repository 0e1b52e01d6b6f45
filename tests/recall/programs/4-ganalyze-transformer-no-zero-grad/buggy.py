import json
import os

import torch
from torch import nn, optim


class OneDirection(nn.Module):
    def __init__(self, dim_z=64):
        super().__init__()
        self.w = nn.Parameter(torch.randn(1, dim_z))

    def transform(self, z, step_sizes):
        return z + step_sizes * self.w

    def compute_loss(self, current, target):
        return torch.mean((current - target) ** 2)


def frozen(module):
    for param in module.parameters():
        param.requires_grad = False
    return module.eval()


generator = frozen(nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 3 * 16 * 16), nn.Tanh()))
assessor = frozen(nn.Sequential(nn.Linear(3 * 16 * 16, 32), nn.ReLU(), nn.Linear(32, 1)))
transformer = OneDirection()
optimizer = optim.Adam(transformer.parameters(), lr=0.0002)

losses = []
batch_size = 8
optim_iter = 0
for batch_start in range(0, 400, batch_size):
    z = torch.randn(batch_size, 64)
    step_sizes = (torch.rand(batch_size, 1) - 0.5) * 2

    gan_images = generator(z)
    out_scores = assessor(gan_images)
    target_scores = out_scores + step_sizes

    z_transformed = transformer.transform(z, step_sizes)
    out_scores_transformed = assessor(generator(z_transformed))

    loss = transformer.compute_loss(out_scores_transformed, target_scores)
    loss.backward()
    optimizer.step()

    losses.append([batch_start, loss.item()])
    optim_iter += 1
    if optim_iter % 250 == 0:
        os.makedirs("checkpoints", exist_ok=True)
        torch.save(transformer.state_dict(), "checkpoints/transformer.pth")

with open("losses.json", "w") as f:
    json.dump(losses, f)
