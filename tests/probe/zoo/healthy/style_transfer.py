# The image is what is trained; the network only measures.
# probe: script
import torch
from torch import nn

features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3)).eval()
for p in features.parameters():
    p.requires_grad_(False)
content = torch.rand(1, 3, 12, 12)
image = content.clone().requires_grad_(True)
optimizer = torch.optim.Adam([image], lr=0.05)
target = features(torch.rand(1, 3, 12, 12)).detach()


def gram(f):
    f = f.flatten(2)
    return f @ f.transpose(1, 2) / f.size(-1)


for _ in range(10):
    optimizer.zero_grad()
    loss = (gram(features(image)) - gram(target)).pow(2).mean() + 0.1 * (image - content).pow(2).mean()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        image.clamp_(0, 1)
