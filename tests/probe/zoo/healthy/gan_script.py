# probe: Generator, Discriminator, script
import torch
from torch import nn

latent_dim = 8


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(latent_dim, 16), nn.LeakyReLU(0.2), nn.BatchNorm1d(16), nn.Linear(16, 36), nn.Tanh()
        )

    def forward(self, z):
        return self.net(z).view(z.size(0), 1, 6, 6)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Sigmoid())

    def forward(self, img):
        return self.net(img)


def main():
    netG, netD = Generator(), Discriminator()
    criterion = nn.BCELoss()
    optG = torch.optim.Adam(netG.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optD = torch.optim.Adam(netD.parameters(), lr=2e-4, betas=(0.5, 0.999))
    for _ in range(20):
        real = torch.rand(16, 1, 6, 6) * 2 - 1
        ones, zeros = torch.ones(16, 1), torch.zeros(16, 1)
        netD.zero_grad()
        errD_real = criterion(netD(real), ones)
        errD_real.backward()
        fake = netG(torch.randn(16, latent_dim))
        errD_fake = criterion(netD(fake.detach()), zeros)
        errD_fake.backward()
        optD.step()
        netG.zero_grad()
        criterion(netD(fake), ones).backward()
        optG.step()


if __name__ == "__main__":
    main()
