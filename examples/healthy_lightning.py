"""Nothing goes wrong here: an autoencoder that Lightning trains, validation included."""

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Autoencoder(L.LightningModule):
    def __init__(self, features: int = 16, code: int = 4, lr: float = 1e-2):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Linear(features, 12), nn.Tanh(), nn.Linear(12, code))
        self.decoder = nn.Sequential(nn.Linear(code, 12), nn.Tanh(), nn.Linear(12, features))

    def forward(self, x):
        return self.decoder(self.encoder(x))

    def training_step(self, batch, batch_idx):
        (x,) = batch
        loss = nn.functional.mse_loss(self(x), x)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        (x,) = batch
        self.log("val_loss", nn.functional.mse_loss(self(x), x))

    def on_validation_epoch_end(self):
        print(f"epoch {self.current_epoch}  val_loss {self.trainer.callback_metrics['val_loss']:.4f}")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"},
        }


def loader(samples: int, mixing: torch.Tensor, shuffle: bool = False) -> DataLoader:
    """Points on a four-dimensional surface in sixteen dimensions."""
    return DataLoader(TensorDataset(torch.sin(torch.randn(samples, 4) @ mixing)), batch_size=32, shuffle=shuffle)


def main():
    L.seed_everything(0)
    mixing = torch.randn(4, 16) * 0.5
    trainer = L.Trainer(
        max_epochs=8,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Autoencoder(), loader(512, mixing, shuffle=True), loader(128, mixing))


if __name__ == "__main__":
    main()
