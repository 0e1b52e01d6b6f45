# probe: LitAutoEncoder
import pytorch_lightning as pl
import torch
from torch import nn, optim


class LitAutoEncoder(pl.LightningModule):
    def __init__(self, encoder=None, decoder=None):
        super().__init__()
        self.encoder = encoder or nn.Sequential(nn.Linear(28 * 28, 16), nn.ReLU(), nn.Linear(16, 3))
        self.decoder = decoder or nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 28 * 28))

    def training_step(self, batch, batch_idx):
        x, _ = batch
        x = x.view(x.size(0), -1)
        x_hat = self.decoder(self.encoder(x))
        loss = nn.functional.mse_loss(x_hat, x)
        self.log("train_loss", loss)
        return {"loss": loss, "x_hat": x_hat.detach()}

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=1e-3)
