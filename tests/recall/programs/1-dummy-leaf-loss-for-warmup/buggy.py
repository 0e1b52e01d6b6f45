import torch
import torch.nn as nn
import torch.nn.functional as F
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader


class SegNet(LightningModule):
    def __init__(self, width=32, lr=1e-3):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.dec = nn.Conv2d(width, 1, 1)
        self.lr = lr

    def forward(self, x):
        return self.dec(self.enc(x))

    def training_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        bce = F.binary_cross_entropy_with_logits(logits, y)
        dice = 1 - 2 * (torch.sigmoid(logits) * y).sum() / (torch.sigmoid(logits) + y).sum().clamp(min=1e-6)
        self.log_dict({"bce": bce, "dice": dice})
        loss = torch.tensor((bce + dice).item(), requires_grad=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def run(dataset):
    Trainer(max_epochs=20, precision="16-mixed").fit(SegNet(), DataLoader(dataset, batch_size=8, shuffle=True))
