import numpy as np
import torch
from torch import nn, optim
from torch.optim.lr_scheduler import StepLR


class CSRNetLight(nn.Module):
    def __init__(self):
        super().__init__()
        self.frontend = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.output_layer = nn.Conv2d(16, 1, kernel_size=1)

    def forward(self, x):
        return self.output_layer(self.frontend(x))


class Timer:
    def __init__(self):
        self.calls = 0

    def tic(self):
        self.calls += 1


class Trainer:
    def __init__(self, dataloader, cfg):
        self.train_loader = dataloader
        self.cfg = cfg
        self.net = CSRNetLight()
        self.optimizer = optim.Adam(self.net.parameters(), lr=cfg["LR"], weight_decay=1e-4)
        self.scheduler = StepLR(self.optimizer, step_size=cfg["NUM_EPOCH_LR_DECAY"], gamma=cfg["LR_DECAY"])
        self.loss_mse_fn = nn.MSELoss()
        self.timer = {"iter time": Timer()}
        self.epoch = -1

    def forward(self):
        for epoch in range(self.cfg["MAX_EPOCH"]):
            self.epoch = epoch
            self.scheduler.step()
            self.train()
            print("epoch %d lr %.6f" % (epoch, self.optimizer.param_groups[0]["lr"]))

    def train(self):
        self.net.train()
        losses = []
        for img, gt_map in self.train_loader:
            self.timer["iter time"].tic()
            self.optimizer.zero_grad()
            pred_map = self.net(img)
            loss = self.loss_mse_fn(pred_map.squeeze(1), gt_map)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        print("train loss", np.mean(losses))


if __name__ == "__main__":
    loader = [(torch.rand(2, 3, 16, 16), torch.rand(2, 8, 8)) for _ in range(4)]
    Trainer(loader, {"LR": 1e-4, "LR_DECAY": 0.995, "NUM_EPOCH_LR_DECAY": 1, "MAX_EPOCH": 3}).forward()
