import os

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn as nn
import torch.nn.functional as F
from pytorch_lightning.callbacks import Callback


class ImageLogger(Callback):
    def __init__(self, batch_frequency, max_images=4):
        super().__init__()
        self.batch_freq = batch_frequency
        self.max_images = max_images

    def log_local(self, save_dir, images, global_step):
        os.makedirs(save_dir, exist_ok=True)
        np.save(os.path.join(save_dir, "gs-%06d.npy" % global_step), images.cpu().numpy())

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx):
        if batch_idx % self.batch_freq == 0:
            with torch.no_grad():
                images = pl_module.sample(batch)[: self.max_images]
            self.log_local("images", images, trainer.global_step)


class LatentDiffusion(pl.LightningModule):
    def __init__(self, lr=1e-4):
        super().__init__()
        self.unet = nn.Sequential(nn.Conv2d(4, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, 4, 3, padding=1))
        self.lr = lr

    def sample(self, batch):
        return self.unet(torch.randn_like(batch))

    def training_step(self, batch, batch_idx):
        noise = torch.randn_like(batch)
        t = torch.rand(batch.size(0), 1, 1, 1, device=batch.device)
        loss = F.mse_loss(self.unet(batch * (1 - t) + noise * t), noise)
        self.log("train/loss_simple", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.unet.parameters(), lr=self.lr)


trainer = pl.Trainer(callbacks=[ImageLogger(750)], max_epochs=100)
