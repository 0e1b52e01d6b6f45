# probe: Lit
# expected: probe-eval-mode "`drop` stays in eval mode while the model is trained, so it drops nothing."
import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F


class Lit(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(28 * 28, 8)
        self.drop = nn.Dropout(0.5)  # here
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.drop(self.encoder(x.view(x.size(0), -1)).relu()))

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.drop.eval()
        return F.cross_entropy(self(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
