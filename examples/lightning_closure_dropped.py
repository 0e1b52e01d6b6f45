"""Training stops at the first step: the warm-up hook steps the optimizer without the closure it was given."""

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class WarmedUpRegressor(L.LightningModule):
    def __init__(self, lr: float = 1e-2, warmup_steps: int = 20):
        super().__init__()
        self.save_hyperparameters()
        self.body = nn.Sequential(nn.Linear(6, 32), nn.GELU())
        self.head = nn.Linear(32, 1)

    def forward(self, x):
        return self.head(self.body(x))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.smooth_l1_loss(self(x), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
        scale = min(1.0, (self.trainer.global_step + 1) / self.hparams.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = scale * self.hparams.lr
        optimizer.step()

    def on_train_epoch_end(self):
        print(f"epoch {self.current_epoch}  train_loss {self.trainer.callback_metrics['train_loss']:.4f}")

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)


def measurements(count: int = 400) -> TensorDataset:
    x = torch.rand(count, 6)
    return TensorDataset(x, (x[:, :1] - x[:, 1:2]).abs())


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
    trainer.fit(WarmedUpRegressor(), DataLoader(measurements(), batch_size=40, shuffle=True))


if __name__ == "__main__":
    main()
