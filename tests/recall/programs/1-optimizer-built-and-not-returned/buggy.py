import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class LitAutoEncoder(pl.LightningModule):
    def __init__(self, z_dim=16, lr=1e-3):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, z_dim))
        self.decoder = nn.Sequential(nn.Linear(z_dim, 128), nn.ReLU(), nn.Linear(128, 784))
        self.lr = lr

    def forward(self, x):
        return self.encoder(x)

    def training_step(self, batch, batch_idx):
        x, _ = batch
        x = x.view(x.size(0), -1)
        x_hat = self.decoder(self.encoder(x))
        loss = F.mse_loss(x_hat, x)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        self.optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)


class Experiment:
    def __init__(self, loader, epochs=5):
        self.loader = loader
        self.trainer = pl.Trainer(max_epochs=epochs, enable_checkpointing=False)

    def run(self):
        model = LitAutoEncoder()
        self.trainer.fit(model, self.loader)
        return model
