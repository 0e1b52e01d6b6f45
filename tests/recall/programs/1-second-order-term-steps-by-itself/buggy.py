import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F


class EnergyModel(pl.LightningModule):
    """Learns forces as the gradient of an energy."""

    def __init__(self, hidden=128, lr=1e-3, force_weight=0.9):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(3, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1))

    def forward(self, pos):
        return self.net(pos).sum(dim=(1, 2))

    def training_step(self, batch, batch_idx):
        pos, energy, forces = batch
        pos = pos.requires_grad_(True)
        pred = self(pos)
        grad = torch.autograd.grad(pred.sum(), pos, create_graph=True)[0]
        loss = F.mse_loss(pred, energy) + self.hparams.force_weight * F.mse_loss(-grad, forces)
        opt = self.optimizers()
        opt.zero_grad()
        loss.backward(retain_graph=True)
        opt.step()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
