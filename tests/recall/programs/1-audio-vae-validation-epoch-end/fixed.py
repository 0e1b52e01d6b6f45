import pytorch_lightning as pl
import torch
import torch.nn as nn


class AudioVAE(pl.LightningModule):
    def __init__(self, latent_size=128, lr=1e-4):
        super().__init__()
        self.encoder = nn.Conv1d(16, 2 * latent_size, 7, padding=3)
        self.decoder = nn.Conv1d(latent_size, 16, 7, padding=3)
        self.latent_size = latent_size
        self.lr = lr
        self.register_buffer("latent_mean", torch.zeros(latent_size))
        self.val_outputs = []

    def reparametrize(self, z):
        mean, scale = z.chunk(2, 1)
        std = nn.functional.softplus(scale) + 1e-4
        z = torch.randn_like(mean) * std + mean
        kl = (mean * mean + std * std - torch.log(std * std) - 1).sum(1).mean()
        return z, kl

    def training_step(self, batch, batch_idx):
        z, kl = self.reparametrize(self.encoder(batch))
        loss = (self.decoder(z) - batch).abs().mean() + 0.1 * kl
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        z = self.encoder(batch)
        mean = z.chunk(2, 1)[0]
        y = self.decoder(mean)
        self.log("validation", (y - batch).abs().mean())
        self.val_outputs.append((torch.cat([batch, y], -1), mean))

    def on_validation_epoch_end(self):
        audio, z = list(zip(*self.val_outputs))
        self.val_outputs.clear()
        z = torch.cat(z, 0).permute(0, 2, 1).reshape(-1, self.latent_size)
        self.latent_mean.copy_(z.mean(0))
        self.logger.experiment.add_audio("audio_val", torch.cat(audio, 0)[:8].reshape(-1), self.current_epoch)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.lr, betas=(0.5, 0.9))
