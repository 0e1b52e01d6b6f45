import lightning as L
import torch
from torch import nn


class MultiDomain(L.LightningModule):
    def __init__(self, n_domains=2):
        super().__init__()
        self.trunk = nn.Linear(32, 32)
        self.heads = nn.ModuleList([nn.Linear(32, 5) for _ in range(n_domains)])
        self.domain = 0

    def forward(self, x):
        return self.heads[self.domain](torch.relu(self.trunk(x)))

    def training_step(self, batch, batch_idx):
        x, y, domain = batch
        h = torch.relu(self.trunk(x))
        logits = torch.stack([head(h) for head in self.heads], 1)[torch.arange(len(x)), domain]
        loss = nn.functional.cross_entropy(logits, y)
        self.log("loss", loss)
        return loss

    def on_validation_batch_start(self, batch, batch_idx, dataloader_idx=0):
        self.domain = dataloader_idx

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        x, y, _ = batch
        self.log("val_loss", nn.functional.cross_entropy(self(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main(train_loader, val_loader):
    trainer = L.Trainer(max_epochs=10)
    trainer.fit(MultiDomain(), train_loader, val_loader)
