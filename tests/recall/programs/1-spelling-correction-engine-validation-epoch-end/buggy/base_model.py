import logging

import pytorch_lightning as pl
import torch

logger = logging.getLogger(__name__)


class BaseTrainingEngine(pl.LightningModule):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.cfg.BASE_LR, weight_decay=self.cfg.WEIGHT_DECAY)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95)
        return [optimizer], [scheduler]

    def validation_epoch_end(self, outputs):
        loss = torch.stack(outputs).mean()
        self.log("val_loss", loss)
        logger.info("val loss %.4f", loss)
