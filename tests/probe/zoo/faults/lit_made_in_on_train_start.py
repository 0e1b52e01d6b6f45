# probe: Lit
# expected: probe-not-in-optimizer "in no optimizer" on extra.weight extra.bias
import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F


class Lit(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(28 * 28, 8)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        h = self.encoder(x.view(x.size(0), -1)).relu()
        return self.head(self.extra(h) if hasattr(self, 'extra') else h)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.cross_entropy(self(x), y)

    def on_train_start(self):
        self.extra = nn.Linear(8, 8)  # here

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)  # cause
