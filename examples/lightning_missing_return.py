"""The loss is logged on every batch and the weights never change: training_step keeps the loss to itself."""

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class HousePrices(L.LightningModule):
    def __init__(self, features: int = 8, lr: float = 1e-2):
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.net(x).squeeze(-1)

    def training_step(self, batch, batch_idx):
        houses, prices = batch
        loss = nn.functional.mse_loss(self(houses), prices)
        self.log("train_loss", loss, on_step=False, on_epoch=True)

    def on_train_epoch_end(self):
        print(f"epoch {self.current_epoch}  train_loss {self.trainer.callback_metrics['train_loss']:.4f}")

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def houses(count: int = 512, features: int = 8) -> TensorDataset:
    """Standardised features, and a price that depends on two of them."""
    x = torch.randn(count, features)
    price = 3 * x[:, 0] + x[:, 1] ** 2 + 0.1 * torch.randn(count)
    return TensorDataset(x, price)


def main():
    L.seed_everything(0)
    model = HousePrices()
    trainer = L.Trainer(
        max_epochs=5,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(houses(), batch_size=32, shuffle=True))


if __name__ == "__main__":
    main()
