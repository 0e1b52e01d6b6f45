import pytorch_lightning as pl
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class EntityLinker(pl.LightningModule):
    def __init__(self, n_entities=1000, patience=3):
        super().__init__()
        self.mentions = nn.EmbeddingBag(30000, 128)
        self.entities = nn.Embedding(n_entities, 128)
        self.best = float("inf")
        self.bad_epochs = 0
        self.patience = patience

    def training_step(self, batch, batch_idx):
        mention, entity = batch
        scores = self.mentions(mention) @ self.entities.weight.t()
        loss = F.cross_entropy(scores, entity)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        mention, entity = batch
        scores = self.mentions(mention) @ self.entities.weight.t()
        self.log("acc", (scores.argmax(1) == entity).float().mean())

    def on_train_batch_start(self, batch, batch_idx):
        # only evaluate when there is no progress any more
        if self.bad_epochs > self.patience:
            return -1

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


data = TensorDataset(torch.randint(0, 30000, (1024, 12)), torch.randint(0, 1000, (1024,)))
trainer = pl.Trainer(max_epochs=50)
trainer.fit(EntityLinker(), DataLoader(data, 64, shuffle=True), DataLoader(data, 64))
