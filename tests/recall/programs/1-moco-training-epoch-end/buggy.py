import copy

import pytorch_lightning as pl
import torch
import torch.nn as nn
import torch.nn.functional as F

max_epochs = 100


class MocoModel(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.projection_head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 128))
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        for p in list(self.backbone_momentum.parameters()) + list(self.projection_head_momentum.parameters()):
            p.requires_grad = False

    @torch.no_grad()
    def update_momentum(self, m=0.99):
        pairs = [(self.backbone, self.backbone_momentum), (self.projection_head, self.projection_head_momentum)]
        for online, ema in pairs:
            for p, e in zip(online.parameters(), ema.parameters()):
                e.data.mul_(m).add_(p.data, alpha=1 - m)

    def training_step(self, batch, batch_idx):
        (x_q, x_k), _ = batch
        self.update_momentum()
        q = F.normalize(self.projection_head(self.backbone(x_q)), dim=1)
        with torch.no_grad():
            k = F.normalize(self.projection_head_momentum(self.backbone_momentum(x_k)), dim=1)
        loss = F.cross_entropy(q @ k.t() / 0.1, torch.arange(len(q), device=q.device))
        self.log("train_loss_ssl", loss)
        return loss

    def training_epoch_end(self, outputs):
        self.custom_histogram_weights()

    def custom_histogram_weights(self):
        for name, params in self.named_parameters():
            self.logger.experiment.add_histogram(name, params, self.current_epoch)

    def configure_optimizers(self):
        params = list(self.backbone.parameters()) + list(self.projection_head.parameters())
        optim = torch.optim.SGD(params, lr=6e-2, momentum=0.9, weight_decay=5e-4)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optim, max_epochs)
        return [optim], [scheduler]
