from collections.abc import MutableMapping

import pytorch_lightning as pl
import torch
from torch import nn


def flatten_dict(d, parent_key="", sep="_"):
    items = []
    for k, v in d.items():
        key = parent_key + sep + k if parent_key else k
        items.extend(flatten_dict(v, key, sep).items() if isinstance(v, MutableMapping) else [(key, v)])
    return dict(items)


class AudioLightningModule(pl.LightningModule):
    def __init__(self, audio_model=None, optimizer_conf=None, config=None):
        super().__init__()
        self.audio_model = audio_model or nn.Conv1d(1, 2, 65, padding=32)
        self.lr = (optimizer_conf or {}).get("lr", 1e-3)
        self.config = {} if config is None else config
        self.save_hyperparameters(flatten_dict(self.config))
        self.epoch_lrs = []

    def forward(self, wav):
        return self.audio_model(wav)

    def neg_sisdr(self, est, ref):
        ref = ref - ref.mean(-1, keepdim=True)
        proj = (est * ref).sum(-1, keepdim=True) * ref / ref.pow(2).sum(-1, keepdim=True).clamp(min=1e-8)
        return -10 * torch.log10(proj.pow(2).sum(-1) / (est - proj).pow(2).sum(-1).clamp(min=1e-8)).mean()

    def training_step(self, batch, batch_nb):
        mixtures, targets = batch
        loss = self.neg_sisdr(self(mixtures), targets)
        self.log("train_loss", loss, on_epoch=True, prog_bar=True)
        return loss

    def on_epoch_end(self):
        self.epoch_lrs.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        if self.current_epoch == 50:
            for group in self.trainer.optimizers[0].param_groups:
                group["lr"] = self.lr / 2

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)
