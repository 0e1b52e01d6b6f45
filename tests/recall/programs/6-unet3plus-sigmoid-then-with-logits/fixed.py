import argparse
import logging

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim


class UNet3Plus(nn.Module):
    def __init__(self, n_channels=3, n_classes=1):
        super(UNet3Plus, self).__init__()
        self.n_classes = n_classes
        self.conv1 = nn.Sequential(nn.Conv2d(n_channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True))
        self.outconv1 = nn.Conv2d(48, n_classes, 3, padding=1)

    def forward(self, inputs):
        h1 = self.conv1(inputs)
        h2 = self.conv2(F.max_pool2d(h1, 2))
        up = F.interpolate(h2, scale_factor=2, mode="bilinear", align_corners=False)
        d1 = self.outconv1(torch.cat((h1, up), 1))
        return d1


def train_net(net, device, epochs=2, lr=0.01):
    optimizer = optim.RMSprop(net.parameters(), lr=lr, weight_decay=1e-8)
    criterion = nn.BCEWithLogitsLoss()
    loader = [(torch.rand(2, 3, 32, 32), (torch.rand(2, 1, 32, 32) > 0.8).float()) for _ in range(4)]
    for epoch in range(epochs):
        net.train()
        epoch_loss = 0
        for imgs, true_masks in loader:
            imgs, true_masks = imgs.to(device), true_masks.to(device)
            masks_pred = net(imgs)
            loss = criterion(masks_pred, true_masks)
            epoch_loss += loss.item()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(net.parameters(), 0.1)
            optimizer.step()
        logging.info("epoch %d loss %.4f", epoch + 1, epoch_loss / len(loader))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-e", "--epochs", type=int, default=2)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train_net(UNet3Plus().to(device), device, epochs=args.epochs)
