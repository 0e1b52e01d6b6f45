"""Training stops at the first batch: the step returns the loss as a number, and numbers have no gradient."""

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class SentimentModel(L.LightningModule):
    """A bag of words, averaged."""

    def __init__(self, vocabulary: int = 100, width: int = 16):
        super().__init__()
        self.words = nn.EmbeddingBag(vocabulary, width)
        self.head = nn.Linear(width, 1)

    def forward(self, tokens):
        return self.head(self.words(tokens)).squeeze(-1)

    def training_step(self, batch, batch_idx):
        tokens, positive = batch
        loss = nn.functional.binary_cross_entropy_with_logits(self(tokens), positive)
        self.log("train_loss", loss)
        return loss.item()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def reviews(count: int = 400, vocabulary: int = 100, length: int = 12) -> TensorDataset:
    """Words of the upper half of the vocabulary are friendly."""
    tokens = torch.randint(vocabulary, (count, length))
    return TensorDataset(tokens, (tokens.float().mean(dim=1) > vocabulary / 2).float())


def main():
    L.seed_everything(0)
    trainer = L.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(SentimentModel(), DataLoader(reviews(), batch_size=40, shuffle=True))


if __name__ == "__main__":
    main()
