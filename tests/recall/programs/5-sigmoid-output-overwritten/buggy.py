import torch
import torch.nn as nn
import torch.nn.functional as F


class OccupancyNet(nn.Module):
    def __init__(self, in_dim=16, cells=64):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(in_dim, 64), nn.ReLU(), nn.Linear(64, cells))

    def forward(self, scan, blocked):
        prob = torch.sigmoid(self.mlp(scan))
        prob[blocked] = 0.0
        return prob


def train(model, optimizer, steps=20):
    history = []
    for step in range(steps):
        scan = torch.randn(8, 16)
        truth = (torch.rand(8, 64) > 0.7).float()
        blocked = torch.rand(8, 64) > 0.9
        truth = truth.masked_fill(blocked, 0.0)
        prob = model(scan, blocked)
        loss = F.binary_cross_entropy(prob, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


if __name__ == "__main__":
    net = OccupancyNet()
    losses = train(net, torch.optim.Adam(net.parameters(), lr=1e-3))
    print(losses[0], losses[-1])
