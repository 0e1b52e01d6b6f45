import lightning.pytorch as pl
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


class BayesRegression(pl.LightningModule):
    """SGLD: gradient steps with noise of the step's size."""

    def __init__(self, num_hidden=50, lr=1e-3, burn_in=100):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, num_hidden), nn.Tanh(), nn.Linear(num_hidden, 1))
        self.lr = lr
        self.burn_in = burn_in
        self.losses = []

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.forward(x), y)
        self.log("Loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
        optimizer.step()
        if self.global_step > self.burn_in:
            with torch.no_grad():
                for p in self.parameters():
                    p.add_(torch.randn_like(p), alpha=(2 * self.lr) ** 0.5)


x = torch.linspace(-2, 2, 1000).reshape(-1, 1)
y = x**3 + torch.randn_like(x)
trainer = pl.Trainer(max_steps=1000, logger=False)
trainer.fit(BayesRegression(), DataLoader(TensorDataset(x, y), batch_size=100, shuffle=True))
