import lightning as L
import torch
import torch.nn.functional as F
from torch import nn


class Translator(L.LightningModule):
    def __init__(self, dim=64, lr=2e-4):
        super().__init__()
        self.g = nn.Sequential(nn.Linear(dim, 256), nn.ReLU(), nn.Linear(256, dim))
        self.lr = lr

    def forward(self, x):
        return self.g(x)

    def training_step(self, batch, batch_idx):
        src, tgt = batch
        opt = self.optimizers()
        opt.zero_grad()
        loss = F.l1_loss(self(src), tgt)
        self.manual_backward(loss)
        opt.step()
        self.log("loss", loss, prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.g.parameters(), lr=self.lr, betas=(0.5, 0.999))


if __name__ == "__main__":
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.randn(512, 64), torch.randn(512, 64)), batch_size=32
    )
    L.Trainer(max_epochs=3, precision="16-mixed").fit(Translator(), loader)
