import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class SlowUpdates(pl.LightningModule):
    def __init__(self, every=8):
        super().__init__()
        self.every = every
        self.backbone = nn.Sequential(nn.Linear(100, 100), nn.ReLU())
        self.head = nn.Linear(100, 10)

    def training_step(self, batch, batch_idx):
        images, target = batch
        output = self.head(self.backbone(images))
        loss_val = F.cross_entropy(output, target)
        acc1 = (output.argmax(1) == target).float().mean()
        self.log_dict({"Loss/train_loss": loss_val, "Acc/acc1": acc1})
        return loss_val

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
        if (batch_idx + 1) % self.every == 0:
            optimizer.step(closure=optimizer_closure)
        else:
            optimizer_closure()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
