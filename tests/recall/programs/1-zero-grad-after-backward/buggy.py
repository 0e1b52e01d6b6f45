import pytorch_lightning as pl
import torch
from torch import nn


class LadderVAE(pl.LightningModule):
    def __init__(self, channels=32, lr=1e-3):
        super().__init__()
        self.bottom_up = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.ELU(), nn.Conv2d(channels, channels, 3, padding=1))
        self.likelihood = nn.Conv2d(channels, 2, 1)
        self.lr = lr

    def forward(self, x):
        mean, logvar = self.likelihood(self.bottom_up(x)).chunk(2, dim=1)
        return mean, logvar

    def training_step(self, batch, batch_idx):
        x, target = batch
        mean, logvar = self(x)
        loss = (0.5 * (logvar + (target - mean) ** 2 / logvar.exp())).mean()
        self.log("nll", loss, prog_bar=True)
        return loss

    def on_after_backward(self):
        """
        Skipping updates in case of unstable gradients
        """
        valid_gradients = True
        for name, param in self.named_parameters():
            if param.grad is not None:
                valid_gradients = not (torch.isnan(param.grad).any() or torch.isinf(param.grad).any())
                if not valid_gradients:
                    break
        print("gradients are fine:", valid_gradients)
        self.zero_grad()

    def configure_optimizers(self):
        return torch.optim.Adamax(self.parameters(), lr=self.lr)
