import lightning.pytorch as pl
import torch
import torch.nn as nn
import torch.nn.functional as F


class SynthesizerTrn(nn.Module):
    def __init__(self, spec=80, hidden=192):
        super().__init__()
        self.pre = nn.Conv1d(spec, hidden, 1)
        self.dec = nn.ConvTranspose1d(hidden, 1, 256, 256)

    def forward(self, spec):
        return torch.tanh(self.dec(F.relu(self.pre(spec))))


class VitsLightning(pl.LightningModule):
    def __init__(self, learning_rate=1e-4, lr_decay=0.999875):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.net_g = SynthesizerTrn()
        self.net_d = nn.Sequential(nn.Conv1d(1, 16, 15, 4), nn.LeakyReLU(0.1), nn.Conv1d(16, 1, 3))

    def configure_optimizers(self):
        optim_g = torch.optim.AdamW(self.net_g.parameters(), self.hparams.learning_rate, betas=(0.8, 0.99), eps=1e-9)
        optim_d = torch.optim.AdamW(self.net_d.parameters(), self.hparams.learning_rate, betas=(0.8, 0.99), eps=1e-9)
        scheduler_g = torch.optim.lr_scheduler.ExponentialLR(optim_g, gamma=self.hparams.lr_decay)
        scheduler_d = torch.optim.lr_scheduler.ExponentialLR(optim_d, gamma=self.hparams.lr_decay)
        return [optim_g, optim_d], [scheduler_g, scheduler_d]

    def training_step(self, batch, batch_idx):
        spec, y = batch
        optim_g, optim_d = self.optimizers()
        y_hat = self.net_g(spec)

        self.toggle_optimizer(optim_d)
        loss_disc = ((self.net_d(y) - 1) ** 2).mean() + (self.net_d(y_hat.detach()) ** 2).mean()
        optim_d.zero_grad()
        self.manual_backward(loss_disc)
        optim_d.step()
        self.untoggle_optimizer(optim_d)

        self.toggle_optimizer(optim_g)
        loss_gen = ((self.net_d(y_hat) - 1) ** 2).mean() + 45 * F.l1_loss(y_hat, y)
        optim_g.zero_grad()
        self.manual_backward(loss_gen)
        optim_g.step()
        self.untoggle_optimizer(optim_g)
        self.log_dict({"loss/g": loss_gen, "loss/d": loss_disc}, prog_bar=True)
