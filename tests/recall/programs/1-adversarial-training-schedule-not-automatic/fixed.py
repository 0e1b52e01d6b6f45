import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class FreeAdversarial(pl.LightningModule):
    def __init__(self, model=None, epsilon=8 / 255, replays=4, lr=0.1, milestones=(30, 45)):
        super().__init__()
        self.automatic_optimization = False
        self.model = model or nn.Sequential(nn.Flatten(), nn.Linear(3072, 512), nn.ReLU(), nn.Linear(512, 10))
        self.epsilon = epsilon
        self.replays = replays
        self.lr = lr
        self.milestones = list(milestones)

    def training_step(self, batch, batch_idx):
        x, y = batch
        opt = self.optimizers()
        delta = torch.zeros_like(x)
        for _ in range(self.replays):
            delta.requires_grad_(True)
            loss = F.cross_entropy(self.model(x + delta), y)
            opt.zero_grad()
            self.manual_backward(loss)
            opt.step()
            delta = (delta + self.epsilon * delta.grad.sign()).clamp(-self.epsilon, self.epsilon).detach()
        self.log("adv_loss", loss, prog_bar=True)
        if self.trainer.is_last_batch:
            self.lr_schedulers().step()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, weight_decay=5e-4)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, self.milestones)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}
