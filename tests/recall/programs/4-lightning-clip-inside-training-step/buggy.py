import lightning as L
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class WorldModel(L.LightningModule):
    def __init__(self, dim=32, lr=1e-3, gradient_clip_norm=1.0):
        super().__init__()
        self.save_hyperparameters()
        self.dynamics = nn.Sequential(nn.Linear(dim, 64), nn.GELU(), nn.Linear(64, dim))

    def forward(self, z):
        return self.dynamics(z)

    def training_step(self, batch, batch_idx):
        z, z_next = batch
        loss = F.mse_loss(self(z), z_next)
        self.log("train/loss", loss, prog_bar=True)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.hparams.gradient_clip_norm)
        self.log("gradient_norm", norm)
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)


if __name__ == "__main__":
    dataset = TensorDataset(torch.randn(128, 32), torch.randn(128, 32))
    trainer = L.Trainer(max_epochs=1, logger=False, enable_checkpointing=False)
    trainer.fit(WorldModel(), DataLoader(dataset, batch_size=16))
