import pytorch_lightning as pl
import torch
import torch.nn as nn
import torch.nn.functional as F
from pytorch_lightning.callbacks import ModelCheckpoint


class LitTabularVAE(pl.LightningModule):
    def __init__(self, in_dim=40, latent=8, lr=1e-3):
        super().__init__()
        self.automatic_optimization = False
        self.enc = nn.Sequential(nn.Linear(in_dim, 64), nn.ReLU(), nn.Linear(64, 2 * latent))
        self.dec = nn.Sequential(nn.Linear(latent, 64), nn.ReLU(), nn.Linear(64, in_dim))
        self.lr = lr
        self.opt = torch.optim.Adam(self.parameters(), lr=lr)

    def elbo(self, x):
        mu, logvar = self.enc(x).chunk(2, dim=1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
        return F.mse_loss(self.dec(z), x) + 1e-3 * kl

    def training_step(self, batch, batch_idx):
        (x,) = batch
        loss = self.elbo(x)
        self.opt.zero_grad()
        self.manual_backward(loss)
        self.opt.step()
        self.log("train_loss", loss, prog_bar=True)

    def validation_step(self, batch, batch_idx):
        (x,) = batch
        self.log("val_loss", self.elbo(x))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


mo_ckpt = ModelCheckpoint(monitor="val_loss")
trainer = pl.Trainer(max_epochs=20, callbacks=[mo_ckpt])
