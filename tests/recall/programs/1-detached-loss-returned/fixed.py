import lightning.pytorch as pl
import torch
from torch import nn


class BiEncoder(nn.Module):
    def __init__(self, vocab, dim=256):
        super().__init__()
        self.text = nn.EmbeddingBag(vocab, dim)
        self.label = nn.EmbeddingBag(vocab, dim)

    def forward(self, text, label):
        return self.text(text), self.label(label)


class MatchingModel(pl.LightningModule):
    def __init__(self, vocab=50000, lr=5e-5, temperature=0.07):
        super().__init__()
        self.encoder = BiEncoder(vocab)
        self.lr = lr
        self.temperature = temperature

    def contrastive(self, t, l):
        sim = nn.functional.normalize(t, dim=-1) @ nn.functional.normalize(l, dim=-1).t()
        target = torch.arange(sim.size(0), device=sim.device)
        return nn.functional.cross_entropy(sim / self.temperature, target)

    def training_step(self, batch, batch_idx):
        text_rpr, label_rpr = self.encoder(batch["text"], batch["labels"])
        train_loss = self.contrastive(text_rpr, label_rpr)
        self.log("train_LOSS", train_loss, prog_bar=True)
        return train_loss

    def validation_step(self, batch, batch_idx):
        text_rpr, label_rpr = self.encoder(batch["text"], batch["labels"])
        self.log("val_LOSS", self.contrastive(text_rpr, label_rpr))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.encoder.parameters(), lr=self.lr, weight_decay=1e-2)
