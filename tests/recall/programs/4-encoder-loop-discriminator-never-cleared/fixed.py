import torch
import torch.nn.functional as F
from torch import nn


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 64), nn.LeakyReLU(0.2), nn.Linear(64, 32))

    def forward(self, x):
        return self.body(x)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def forward(self, x):
        return self.body(x)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(32, 3 * 16 * 16)

    def forward(self, w):
        return torch.tanh(self.body(w)).view(-1, 3, 16, 16)


def training_loop(data, G, E, D, lr=1e-4, adv_weight=0.1):
    G.eval().requires_grad_(False)
    optimizer_E = torch.optim.Adam(E.parameters(), lr=lr, betas=(0.9, 0.99))
    optimizer_D = torch.optim.Adam(D.parameters(), lr=lr, betas=(0.9, 0.99))

    for step, x_real in enumerate(data):
        w = E(x_real)
        x_rec = G(w)

        # encoder
        loss_pix = F.mse_loss(x_rec, x_real)
        loss_adv = F.softplus(-D(x_rec)).mean()
        E_loss = loss_pix + adv_weight * loss_adv
        optimizer_E.zero_grad()
        E_loss.backward()
        optimizer_E.step()

        # discriminator
        x_rec = G(E(x_real))
        D_loss = F.softplus(D(x_rec.detach())).mean() + F.softplus(-D(x_real)).mean()
        optimizer_D.zero_grad()
        D_loss.backward()
        optimizer_D.step()

        if step % 5 == 0:
            print(f"step {step} E {E_loss.item():.4f} D {D_loss.item():.4f}")


if __name__ == "__main__":
    training_loop([torch.rand(4, 3, 16, 16) for _ in range(10)], Decoder(), Encoder(), Discriminator())
