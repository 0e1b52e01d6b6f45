import torch
from torch import nn, optim
from torch.optim import lr_scheduler


class RRDBNet(nn.Module):
    def __init__(self, channels=64):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, channels, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(channels, 48, 3, 1, 1), nn.PixelShuffle(4))

    def forward(self, x):
        return self.net(x)


class DiscriminatorUNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 1, 3, 1, 1))

    def forward(self, x):
        return self.net(x)


def define_optimizer(g_model, d_model, config):
    g_optimizer = optim.Adam(g_model.parameters(), config["lr"], (0.9, 0.999))
    d_optimizer = optim.Adam(d_model.parameters(), config["lr"], (0.9, 0.999))
    return g_optimizer, d_optimizer


def define_scheduler(g_optimizer, d_optimizer, config):
    g_scheduler = lr_scheduler.MultiStepLR(g_optimizer, config["milestones"], config["gamma"])
    d_scheduler = lr_scheduler.MultiStepLR(d_optimizer, config["milestones"], config["gamma"])
    return g_scheduler, d_scheduler


def main(config, loader):
    g_model, d_model = RRDBNet(), DiscriminatorUNet()
    g_optimizer, d_optimizer = define_optimizer(g_model, d_model, config)
    g_scheduler, d_scheduler = define_scheduler(g_optimizer, d_optimizer, config)
    adversarial, content = nn.BCEWithLogitsLoss(), nn.L1Loss()
    for epoch in range(config["epochs"]):
        for gt, lr in loader:
            sr = g_model(lr)
            g_optimizer.zero_grad()
            fake = d_model(sr)
            g_loss = content(sr, gt) + 0.005 * adversarial(fake, torch.ones_like(fake))
            g_loss.backward()
            g_optimizer.step()

            d_optimizer.zero_grad()
            real, fake = d_model(gt), d_model(sr.detach())
            d_loss = adversarial(real, torch.ones_like(real)) + adversarial(fake, torch.zeros_like(fake))
            d_loss.backward()
            d_optimizer.step()
        g_scheduler.step()
        d_scheduler.step()
