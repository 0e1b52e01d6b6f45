# A straight-through estimator beside an argmin.
# probe: VQVAE, script
import torch
import torch.nn.functional as F
from torch import nn


class VectorQuantizer(nn.Module):
    def __init__(self, n_codes=16, dim=4, beta=0.25):
        super().__init__()
        self.codebook = nn.Embedding(n_codes, dim)
        self.codebook.weight.data.uniform_(-1 / n_codes, 1 / n_codes)
        self.beta = beta

    def forward(self, z):
        d = torch.cdist(z, self.codebook.weight)
        z_q = self.codebook(d.argmin(dim=1))
        loss = F.mse_loss(z_q, z.detach()) + self.beta * F.mse_loss(z, z_q.detach())
        return z + (z_q - z).detach(), loss


class VQVAE(nn.Module):
    def __init__(self, n_in=10, dim=4):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_in, 16), nn.ReLU(), nn.Linear(16, dim))
        self.quantizer = VectorQuantizer(dim=dim)
        self.decoder = nn.Sequential(nn.Linear(dim, 16), nn.ReLU(), nn.Linear(16, n_in))

    def forward(self, x):
        z_q, vq_loss = self.quantizer(self.encoder(x))
        return self.decoder(z_q), vq_loss


if __name__ == "__main__":
    model = VQVAE()
    opt = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(10):
        x = torch.randn(32, 10)
        x_hat, vq_loss = model(x)
        loss = F.mse_loss(x_hat, x) + vq_loss
        opt.zero_grad()
        loss.backward()
        opt.step()
