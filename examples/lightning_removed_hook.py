"""Training does not begin: the hook that averages the validation loss is gone since Lightning 2.0."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Forecaster(pl.LightningModule):
    """Predicts the next value of a series from the last ones."""

    def __init__(self, window: int = 12, hidden: int = 24):
        super().__init__()
        self.rnn = nn.GRU(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)
        self.window = window

    def forward(self, series):
        states, _ = self.rnn(series)
        return self.out(states[:, -1])

    def training_step(self, batch, batch_idx):
        series, following = batch
        loss = nn.functional.mse_loss(self(series), following)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        series, following = batch
        predicted = self(series)
        return {"val_loss": nn.functional.mse_loss(predicted, following), "predicted": predicted}

    def validation_epoch_end(self, outputs):
        mean = torch.stack([output["val_loss"] for output in outputs]).mean()
        self.log("val_loss", mean)
        print(f"epoch {self.current_epoch}  val_loss {mean:.4f}")

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=5e-3)


def waves(count: int, window: int = 12) -> TensorDataset:
    start = torch.rand(count, 1) * 6.28
    series = torch.sin(start + 0.4 * torch.arange(window + 1))
    return TensorDataset(series[:, :-1, None], series[:, -1:])


def main():
    pl.seed_everything(0)
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    train = DataLoader(waves(256), batch_size=32, shuffle=True)
    trainer.fit(Forecaster(), train, DataLoader(waves(64), batch_size=32))


if __name__ == "__main__":
    main()
