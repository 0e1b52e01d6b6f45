import torch
import torch.nn as nn
import torch.nn.functional as F


class Discriminator(nn.Module):
    def __init__(self, period):
        super().__init__()
        self.period = period
        self.convs = nn.Sequential(nn.Conv2d(1, 32, (5, 1), (3, 1)), nn.LeakyReLU(0.1), nn.Conv2d(32, 1, (3, 1)))

    def forward(self, x):
        b, c, t = x.shape
        return self.convs(x[..., : t - t % self.period].view(b, c, -1, self.period))


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(1, 64, 15, padding=7), nn.PReLU(), nn.Conv1d(64, 1, 15, padding=7))

    def forward(self, x):
        return self.net(x)


class UniverseGAN:
    def __init__(self, lr=2e-4):
        self.model = Generator()
        self.loss_mrd = Discriminator(1)
        self.loss_mpd = Discriminator(5)
        self.opt_score = torch.optim.AdamW(self.model.parameters(), lr=lr)
        params_disc = list(self.loss_mrd.parameters()) + list(
            self.loss_mrd.parameters()
        )
        self.opt_disc = torch.optim.AdamW(params_disc, lr=lr)

    def adversarial(self, fake, real):
        loss = 0.0
        for d in (self.loss_mrd, self.loss_mpd):
            loss = loss + ((d(real) - 1) ** 2).mean() + (d(fake) ** 2).mean()
        return loss

    def training_step(self, mix, target):
        enhanced = self.model(mix)
        self.opt_disc.zero_grad()
        d_loss = self.adversarial(enhanced.detach(), target)
        d_loss.backward()
        self.opt_disc.step()

        self.opt_score.zero_grad()
        g_loss = F.l1_loss(enhanced, target)
        for d in (self.loss_mrd, self.loss_mpd):
            g_loss = g_loss + ((d(enhanced) - 1) ** 2).mean()
        g_loss.backward()
        self.opt_score.step()
        return d_loss.item(), g_loss.item()


system = UniverseGAN()
for step in range(10000):
    system.training_step(torch.randn(4, 1, 16000), torch.randn(4, 1, 16000))
