import pytorch_lightning as pl
import torch
import torch.nn as nn
import torch.nn.functional as F


class TVLoss(nn.Module):
    def forward(self, x):
        return (x[..., 1:, :] - x[..., :-1, :]).pow(2).mean() + (x[..., 1:] - x[..., :-1]).pow(2).mean()


class UnetTMO(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 3, 3, padding=1), nn.Sigmoid())

    def forward(self, x):
        gamma = self.net(x)
        return x.clamp(min=1e-4) ** gamma, gamma


class UnsupervisedModel(pl.LightningModule):
    def __init__(self, opt):
        super().__init__()
        self.opt = opt
        self.model = UnetTMO()
        self.mse = nn.MSELoss()
        self.tv = TVLoss()
        self.tv_w = opt.tv_w

    def configure_optimizers(self):
        return torch.optim.Adam(self.model.parameters(), lr=self.opt.lr, betas=[0.9, 0.99])

    def training_step(self, batch, batch_idx):
        nor_img = batch
        with torch.no_grad():
            pseudo = F.avg_pool2d(nor_img, 5, 1, 2).clamp(0, 1)
        pred_img, pred_gamma = self.model(nor_img)
        reconstruction_loss = self.mse(pred_img, pseudo)
        tv_loss = self.tv(pred_gamma)
        loss = reconstruction_loss + tv_loss * self.tv_w
        self.log("train_loss/total", loss)
        loss.backward()
        return loss
