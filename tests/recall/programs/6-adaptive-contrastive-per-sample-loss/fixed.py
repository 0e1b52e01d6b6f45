import copy

import torch
import torch.nn as nn
import torch.nn.functional as F


class BYOL(nn.Module):
    def __init__(self, dim=32, momentum=0.99):
        super().__init__()
        self.m = momentum
        self.net = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(inplace=True), nn.Linear(128, dim))
        self.predictor = nn.Sequential(nn.Linear(dim, 64), nn.ReLU(inplace=True), nn.Linear(64, dim))
        self.ema = copy.deepcopy(self.net)
        for p in self.ema.parameters():
            p.requires_grad = False

    @torch.no_grad()
    def momentum_update(self):
        for p, q in zip(self.net.parameters(), self.ema.parameters()):
            q.data = q.data * self.m + p.data * (1.0 - self.m)

    def forward(self, im1, im2):
        p1 = F.normalize(self.predictor(self.net(im1)), dim=1)
        with torch.no_grad():
            self.momentum_update()
            z2 = F.normalize(self.ema(im2), dim=1)
        return 2 - 2 * (p1 * z2).sum(dim=-1)


def train(model, loader, optimizer, epoch):
    model.train()
    total, num = 0.0, 0
    for im1, im2 in loader:
        loss = model(im1, im2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, num = total + loss.item() * len(im1), num + len(im1)
    print("Train Epoch: [{}], loss: {:.4f}".format(epoch, total / num))


if __name__ == "__main__":
    net = BYOL()
    sgd = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.06, momentum=0.9, weight_decay=5e-4)
    views = [(torch.randn(16, 64), torch.randn(16, 64)) for _ in range(4)]
    for epoch in range(2):
        train(net, views, sgd, epoch)
