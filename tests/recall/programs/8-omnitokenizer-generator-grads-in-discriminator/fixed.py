import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class VQGAN(nn.Module):
    def __init__(self, dim=64, codes=32):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dim, 64), nn.ReLU(), nn.Linear(64, 16))
        self.codebook = nn.Embedding(codes, 16)
        self.decoder = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, dim))

    def forward(self, x):
        z = self.encoder(x)
        q = self.codebook(torch.cdist(z, self.codebook.weight).argmin(1))
        commit = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
        return self.decoder(z + (q - z).detach()), commit


def hinge_d_loss(logits_real, logits_fake):
    return 0.5 * (F.relu(1.0 - logits_real).mean() + F.relu(1.0 + logits_fake).mean())


def train(args, loader):
    model = VQGAN()
    discriminator = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    opt_ae = torch.optim.Adam(model.parameters(), lr=args.lr, betas=(0.5, 0.9))
    opt_disc = torch.optim.Adam(discriminator.parameters(), lr=args.lr, betas=(0.5, 0.9))
    model.train()
    for i, x in enumerate(loader):
        discriminator.requires_grad_(False)
        x_recon, commitment_loss = model(x)
        g_loss = -discriminator(x_recon).mean()
        ae_loss = F.l1_loss(x_recon, x) + commitment_loss + args.gan_weight * g_loss
        (ae_loss / args.grad_accumulates).backward()

        discriminator.requires_grad_(True)
        disc_loss = hinge_d_loss(discriminator(x), discriminator(x_recon.detach()))
        (disc_loss / args.grad_accumulates).backward()

        if (i + 1) % args.grad_accumulates == 0:
            opt_ae.step()
            opt_disc.step()
            opt_ae.zero_grad()
            opt_disc.zero_grad()
            print(i, ae_loss.item(), disc_loss.item())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--gan_weight", type=float, default=1.0)
    parser.add_argument("--grad_accumulates", type=int, default=2)
    train(parser.parse_args(), [torch.randn(16, 64) for _ in range(8)])
