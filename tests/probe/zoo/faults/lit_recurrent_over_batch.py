# probe: Lit
# expected: probe-samples-mix "`GRU` takes the first dimension"
# expected: probe-wrong-gradient "`Square.backward` gives `x` a wrong gradient: 0.5 times"
import lightning as L
import torch
import torch.nn as nn
import torch.nn.functional as F


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad_output):  # here
        (x,) = ctx.saved_tensors
        return grad_output * x


class Lit(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(5, 8)  # cause
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        out, _ = self.gru(x)  # here
        return self.head(Square.apply(out[:, -1]))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.cross_entropy(self(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)
