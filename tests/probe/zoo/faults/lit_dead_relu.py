# probe: Lit
# expected: probe-zero-gradient "zeroed by `relu`" on encoder.weight encoder.bias head.weight
import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F


class Lit(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(28 * 28, 8)  # cause
        self.head = nn.Linear(8, 10)  # cause

    def training_step(self, batch, batch_idx):
        x, y = batch
        h = self.encoder(x.view(x.size(0), -1))
        h = F.relu(h - 100)  # here
        return F.cross_entropy(self.head(h), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
