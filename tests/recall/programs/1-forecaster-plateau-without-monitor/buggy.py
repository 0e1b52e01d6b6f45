import pytorch_lightning as pl
import torch
from torch import nn


class Forecaster(pl.LightningModule):
    def __init__(self, d_x: int, d_y: int, learning_rate: float = 1e-3, l2_coeff: float = 0.0, decay_factor: float = 0.25):
        super().__init__()
        self.lstm = nn.LSTM(d_x, 128, batch_first=True)
        self.out = nn.Linear(128, d_y)
        self.learning_rate = learning_rate
        self.l2_coeff = l2_coeff
        self.decay_factor = decay_factor

    def forward(self, x):
        h, _ = self.lstm(x)
        return self.out(h)

    def compute_loss(self, batch):
        x, y = batch
        mask = ~torch.isnan(y)
        return (self(x) - torch.nan_to_num(y)).pow(2)[mask].mean()

    def training_step(self, batch, batch_idx):
        loss = self.compute_loss(batch)
        self.log("train/loss", loss)
        return {"loss": loss}

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.compute_loss(batch), prog_bar=True)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate, weight_decay=self.l2_coeff)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=3, factor=self.decay_factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": scheduler,
        }
