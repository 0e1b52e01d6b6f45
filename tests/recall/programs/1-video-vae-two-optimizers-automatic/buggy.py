import pytorch_lightning as pl
import torch
import torch.nn as nn
import torch.nn.functional as F


class AutoencoderKL(pl.LightningModule):
    def __init__(self, z=4, lr=4.5e-6, disc_start=50001):
        super().__init__()
        self.encoder = nn.Conv3d(3, z, 3, (1, 2, 2), 1)
        self.decoder = nn.ConvTranspose3d(z, 3, (3, 4, 4), (1, 2, 2), 1)
        self.discriminator = nn.Sequential(nn.Conv3d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv3d(32, 1, 4, 1, 1))
        self.learning_rate = lr
        self.disc_start = disc_start

    def forward(self, x):
        return self.decoder(self.encoder(x))

    def gen_loss(self, x, rec):
        weight = 0.5 if self.global_step > self.disc_start else 0.0
        return F.l1_loss(rec, x) - weight * self.discriminator(rec).mean()

    def disc_loss(self, x, rec):
        return F.relu(1 - self.discriminator(x)).mean() + F.relu(1 + self.discriminator(rec.detach())).mean()

    def training_step(self, batch, batch_idx):
        x = batch["video"]
        rec = self(x)
        if batch_idx % 2 == 0:
            loss = self.gen_loss(x, rec)
            self.log("aeloss", loss, prog_bar=True)
        else:
            loss = self.disc_loss(x, rec)
            self.log("discloss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        lr = self.learning_rate
        opt_ae = torch.optim.Adam(
            list(self.encoder.parameters()) + list(self.decoder.parameters()), lr=lr, betas=(0.5, 0.9)
        )
        opt_disc = torch.optim.Adam(self.discriminator.parameters(), lr=lr, betas=(0.5, 0.9))
        return [opt_ae, opt_disc], []
