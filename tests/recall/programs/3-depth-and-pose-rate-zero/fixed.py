import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class DepthNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.GELU())
        self.disp = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x):
        return torch.sigmoid(self.disp(F.interpolate(self.encoder(x), scale_factor=2)))


class PoseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(6, 16, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.pose = nn.Linear(16, 6)

    def forward(self, a, b):
        return 0.01 * self.pose(self.conv(torch.cat([a, b], 1)))


class Trainer:
    def __init__(self, options, loader):
        self.opt = options
        self.loader = loader
        self.depth = DepthNet()
        self.pose = PoseNet()
        self.model_optimizer = optim.AdamW(self.depth.parameters(), lr=1e-4, weight_decay=1e-2)
        self.model_pose_optimizer = optim.AdamW(self.pose.parameters(), lr=1e-4, weight_decay=1e-2)

    def compute_losses(self, target, source):
        disp = self.depth(target)
        pose = self.pose(target, source)
        warped = source * (1 + disp) + pose[:, :3, None, None]
        smooth = (disp[..., 1:] - disp[..., :-1]).abs().mean()
        return (warped - target).abs().mean() + 1e-3 * smooth

    def run_epoch(self, epoch):
        self.depth.train()
        self.pose.train()
        for target, source in self.loader:
            loss = self.compute_losses(target, source)
            self.model_optimizer.zero_grad()
            self.model_pose_optimizer.zero_grad()
            loss.backward()
            self.model_optimizer.step()
            self.model_pose_optimizer.step()
        print("epoch", epoch, "loss", loss.item())

    def train(self):
        for epoch in range(self.opt.num_epochs):
            self.run_epoch(epoch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--num_epochs", type=int, default=30)
    frames = [(torch.rand(4, 3, 64, 64), torch.rand(4, 3, 64, 64)) for _ in range(50)]
    Trainer(parser.parse_args(), frames).train()
