import logging

import pytorch_lightning as pl
import torch

logger = logging.getLogger(__name__)


class BaseTrainingEngine(pl.LightningModule):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.val_losses = []

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.cfg.BASE_LR, weight_decay=self.cfg.WEIGHT_DECAY)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95)
        return [optimizer], [scheduler]

    def on_validation_epoch_end(self):
        loss = torch.stack(self.val_losses).mean()
        self.val_losses.clear()
        self.log("val_loss", loss)
        logger.info("val loss %.4f", loss)
