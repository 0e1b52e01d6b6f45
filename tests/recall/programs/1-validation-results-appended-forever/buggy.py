import lightning.pytorch as pl
import torch
import torch.nn as nn


class PoseRegressor(nn.Module):
    def __init__(self, n_joints=24):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 32, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(32, n_joints * 3)

    def forward(self, x):
        return self.head(self.backbone(x)).view(x.size(0), -1, 3)


class PARETrainer(pl.LightningModule):
    def __init__(self, lr=5e-5):
        super().__init__()
        self.model = PoseRegressor()
        self.lr = lr
        self.val_accuracy_results = []

    def training_step(self, batch, batch_nb):
        pred = self.model(batch["img"])
        loss = nn.functional.mse_loss(pred, batch["joints"])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_nb):
        pred = self.model(batch["img"])
        error = torch.sqrt(((pred - batch["joints"]) ** 2).sum(-1)).mean(-1)
        self.val_accuracy_results.append({"mpjpe": error, "pred": pred})
        self.log("val/mpjpe", error.mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)
