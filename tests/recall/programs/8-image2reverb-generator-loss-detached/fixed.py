import torch
import torch.nn as nn
import torch.nn.functional as F


class Generator(nn.Module):
    def __init__(self, z=32, out=64):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(z, 128), nn.ReLU(), nn.Linear(128, out), nn.Tanh())

    def forward(self, f):
        return self.net(f)


class Discriminator(nn.Module):
    def __init__(self, spec=64, z=32):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(spec + z, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))

    def forward(self, spec, f):
        return self.net(torch.cat([spec, f], dim=1))


class Image2Reverb:
    def __init__(self, lr=2e-4):
        self.enc = nn.Linear(100, 32)
        self.g, self.d = Generator(), Discriminator()
        g_params = list(self.g.parameters()) + list(self.enc.parameters())
        self.g_opt = torch.optim.Adam(g_params, lr=lr, betas=(0.0, 0.99))
        self.d_opt = torch.optim.Adam(self.d.parameters(), lr=2 * lr, betas=(0.0, 0.99))

    def training_step(self, spec, label):
        # generator
        f = self.enc(label)
        fake_spec = self.g(f)
        d_fake2 = self.d(fake_spec, f)
        G_loss = F.mse_loss(d_fake2, torch.ones_like(d_fake2))
        self.g_opt.zero_grad()
        G_loss.backward()
        self.g_opt.step()

        # discriminator
        d_fake = self.d(fake_spec.detach(), f.detach())
        d_real = self.d(spec, f.detach())
        D_loss = F.mse_loss(d_fake, torch.zeros_like(d_fake)) + F.mse_loss(d_real, torch.ones_like(d_real))
        self.d_opt.zero_grad()
        D_loss.backward()
        self.d_opt.step()
        return G_loss.item(), D_loss.item()


m = Image2Reverb()
for step in range(20):
    losses = m.training_step(torch.rand(8, 64) * 2 - 1, torch.randn(8, 100))
print(losses)
