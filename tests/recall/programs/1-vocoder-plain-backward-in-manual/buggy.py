import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import nn


class MultiPeriod(nn.Module):
    def __init__(self, periods=(2, 3, 5)):
        super().__init__()
        self.discs = nn.ModuleList([nn.Conv1d(1, 16, 15, stride=p) for p in periods])
        self.post = nn.Conv1d(16, 1, 3, padding=1)

    def forward(self, wav):
        return [self.post(F.leaky_relu(d(wav), 0.1)) for d in self.discs]


class HiFiGAN(pl.LightningModule):
    def __init__(self, n_mels=80, hop=256, lr=1e-4):
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.ConvTranspose1d(n_mels, 1, hop, stride=hop)
        self.mpd = MultiPeriod()
        self.lr = lr

    def forward(self, mel):
        return torch.tanh(self.generator(mel))

    def configure_optimizers(self):
        optim_g = torch.optim.AdamW(self.generator.parameters(), self.lr, betas=(0.8, 0.99))
        optim_d = torch.optim.AdamW(self.mpd.parameters(), self.lr, betas=(0.8, 0.99))
        return optim_g, optim_d

    def training_step(self, batch, batch_idx):
        mel, y = batch
        optim_g, optim_d = self.optimizers()
        generated_wav = self(mel)

        # discriminators
        optim_d.zero_grad()
        real, fake = self.mpd(y), self.mpd(generated_wav.detach())
        disc_loss = sum(((r - 1) ** 2).mean() + (f**2).mean() for r, f in zip(real, fake))
        disc_loss.backward()
        optim_d.step()

        # generator
        optim_g.zero_grad()
        gen_loss = sum(((f - 1) ** 2).mean() for f in self.mpd(generated_wav)) + 45 * F.l1_loss(generated_wav, y)
        gen_loss.backward()
        optim_g.step()
        self.log_dict({"disc": disc_loss, "gen": gen_loss}, prog_bar=True)
