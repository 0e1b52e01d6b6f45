import torch
from torch import nn

from base_model import BaseTrainingEngine


class MacBert4Csc(BaseTrainingEngine):
    def __init__(self, cfg):
        super().__init__(cfg)
        self.bert = nn.Sequential(nn.Embedding(cfg.VOCAB, 256), nn.TransformerEncoderLayer(256, 8, batch_first=True))
        self.detection = nn.Linear(256, 1)
        self.cls = nn.Linear(256, cfg.VOCAB)
        self.w = cfg.LOSS_WEIGHT

    def forward(self, texts, labels, det_labels):
        h = self.bert(texts)
        det = nn.functional.binary_cross_entropy_with_logits(self.detection(h).squeeze(-1), det_labels)
        mlm = nn.functional.cross_entropy(self.cls(h).flatten(0, 1), labels.flatten())
        return self.w * mlm + (1 - self.w) * det

    def training_step(self, batch, batch_idx):
        loss = self(*batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        loss = self(*batch)
        self.val_losses.append(loss)
