import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class ScalarRegressionTask(pl.LightningModule):
    def __init__(self, in_dim=20, hidden=64, lr=1e-4):
        super().__init__()
        self.lr = lr
        self.encoder = nn.Sequential(nn.Linear(in_dim, hidden), nn.SiLU())
        self.output_head = nn.Linear(hidden, 1)

    def forward(self, graph):
        return self.output_head(self.encoder(graph)).squeeze(-1)

    def _compute_losses(self, batch):
        graph = batch[0]
        predictions = self(graph)
        targets = graph.sum(dim=1, keepdim=True)
        return F.mse_loss(predictions, targets)

    def training_step(self, batch, batch_idx):
        loss = self._compute_losses(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self._compute_losses(batch))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


if __name__ == "__main__":
    dset = TensorDataset(torch.randn(128, 20))
    trainer = pl.Trainer(max_epochs=2, logger=False, enable_checkpointing=False)
    trainer.fit(ScalarRegressionTask(), DataLoader(dset, batch_size=16), DataLoader(dset, batch_size=16))
