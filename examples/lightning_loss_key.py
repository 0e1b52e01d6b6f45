"""Training stops at the first batch: the dictionary that the step returns has no entry called loss."""

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Segmenter(L.LightningModule):
    """Marks the bright pixels of an image."""

    def __init__(self, channels: int = 6):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 1, kernel_size=1),
        )

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, batch_idx):
        images, masks = batch
        logits = self(images)
        train_loss = nn.functional.binary_cross_entropy_with_logits(logits, masks)
        overlap = ((logits > 0) == masks.bool()).float().mean()
        self.log("overlap", overlap)
        return {"train_loss": train_loss, "overlap": overlap}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def scenes(count: int = 96, size: int = 12) -> TensorDataset:
    images = torch.rand(count, 1, size, size)
    return TensorDataset(images, (images > 0.6).float())


def main():
    L.seed_everything(0)
    trainer = L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Segmenter(), DataLoader(scenes(), batch_size=16, shuffle=True))


if __name__ == "__main__":
    main()
