# probe: Lit
# expected: probe-cut "cut by `.detach()`" on encoder.weight encoder.bias
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
        h = self.encoder(x.view(x.size(0), -1)).relu().detach()  # here
        return self.head(h)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.cross_entropy(self(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
