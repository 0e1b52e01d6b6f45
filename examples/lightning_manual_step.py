"""The first batch ends in an error: the step is made by hand, and Lightning then makes it once more."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class DigitClassifier(pl.LightningModule):
    def __init__(self, pixels: int = 64, hidden: int = 32, lr: float = 0.1):
        super().__init__()
        self.lr = lr
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, 10)

    def forward(self, images):
        return self.head(self.encoder(images.flatten(1)))

    def training_step(self, batch, batch_idx):
        images, digits = batch
        loss = nn.functional.cross_entropy(self(images), digits)

        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def digits(count: int = 500) -> TensorDataset:
    """Ten noisy prototypes of eight by eight pixels."""
    prototypes = torch.randn(10, 1, 8, 8)
    labels = torch.randint(10, (count,))
    return TensorDataset(prototypes[labels] + 0.3 * torch.randn(count, 1, 8, 8), labels)


def main():
    pl.seed_everything(0)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(DigitClassifier(), DataLoader(digits(), batch_size=50, shuffle=True))


if __name__ == "__main__":
    main()
