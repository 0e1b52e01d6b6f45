import torch
from torch import nn, optim
from torch.nn import functional as F


class IntroVAE(nn.Module):
    def __init__(self, x_dim=64, z_dim=8, margin=1.0, lr=2e-4):
        super().__init__()
        self.margin, self.z_dim = margin, z_dim
        self.encoder = nn.Sequential(nn.Linear(x_dim, 64), nn.ReLU(), nn.Linear(64, 2 * z_dim))
        self.decoder = nn.Sequential(nn.Linear(z_dim, 64), nn.ReLU(), nn.Linear(64, x_dim), nn.Sigmoid())
        self.optim_encoder = optim.Adam(self.encoder.parameters(), lr=lr)
        self.optim_decoder = optim.Adam(self.decoder.parameters(), lr=lr)

    @staticmethod
    def kld(mu, logvar):
        return -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())

    def update_encoder(self, x):
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        xr = self.decoder(z)
        xp = self.decoder(torch.randn_like(z))
        mup, logvarp = self.encoder(xp.detach()).chunk(2, dim=1)
        loss = self.kld(mu, logvar) + F.relu(self.margin - self.kld(mup, logvarp)) + F.mse_loss(xr, x)
        self.optim_encoder.zero_grad()
        loss.backward()
        self.optim_encoder.step()
        return loss.item()

    def update_decoder(self, n):
        xp = self.decoder(torch.randn(n, self.z_dim))
        mupp, logvarpp = self.encoder(xp.detach()).chunk(2, dim=1)
        loss = self.kld(mupp, logvarpp)
        self.optim_decoder.zero_grad()
        loss.backward()
        self.optim_decoder.step()
        return loss.item()

    def forward(self, x):
        return self.update_encoder(x), self.update_decoder(len(x))


def main():
    vae = IntroVAE()
    for step in range(30):
        encoder_loss, decoder_loss = vae(torch.rand(16, 64))
        if step % 10 == 0:
            print(step, encoder_loss, decoder_loss)


if __name__ == "__main__":
    main()
