# probe: Lit
# expected: probe-no-gradient "no loss is differentiated" on encoder.weight encoder.bias head.weight head.bias
import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F


class Lit(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(28 * 28, 8)  # here
        self.head = nn.Linear(8, 10)  # here

    def forward(self, x):
        return self.head(self.encoder(x.view(x.size(0), -1)).relu())

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.cross_entropy(self(x), y)

    def backward(self, loss):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
