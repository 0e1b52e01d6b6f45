# probe: Lit
# expected: probe-frozen "frozen" on head.weight head.bias
import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F


class Lit(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(28 * 28, 8)
        self.head = nn.Linear(8, 10)  # here
        self.automatic_optimization = False

    def forward(self, x):
        return self.head(self.encoder(x.view(x.size(0), -1)).relu())

    def training_step(self, batch, batch_idx):
        x, y = batch
        first, second = self.optimizers()
        self.toggle_optimizer(first)  # cause
        self.manual_backward(F.cross_entropy(self(x), y))
        first.step()
        first.zero_grad()
        self.manual_backward(F.cross_entropy(self(x), y))
        second.step()
        second.zero_grad()

    def configure_optimizers(self):
        return [torch.optim.Adam(each.parameters()) for each in (self.encoder, self.head)], []
