import torch
import torch.nn as nn
import torch.nn.functional as F

x_dim, z_dim, n_class = 64, 8, 5

enc = nn.Sequential(nn.Linear(x_dim, 64), nn.ReLU(), nn.Linear(64, 2 * z_dim))
dec = nn.Sequential(nn.Linear(z_dim + n_class, 64), nn.ReLU(), nn.Linear(64, x_dim))
dis = nn.Sequential(nn.Linear(x_dim, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

opt_e = torch.optim.Adam(enc.parameters(), lr=1e-3)
opt_g = torch.optim.Adam(dec.parameters(), lr=1e-3)
opt_d = torch.optim.Adam(dis.parameters(), lr=1e-3)


def reparametrize(mu, logvar):
    return mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)


for it in range(20):
    x = torch.rand(16, x_dim)
    y = F.one_hot(torch.randint(0, n_class, (16,)), n_class).float()

    mu, logvar = enc(x).chunk(2, dim=1)
    recon = dec(torch.cat([reparametrize(mu, logvar), y], dim=1))
    kl = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())
    score_real, score_fake = dis(x), dis(recon)

    loss_d = F.softplus(-score_real).mean() + F.softplus(score_fake).mean()
    loss_g = F.mse_loss(recon, x) + 0.1 * F.softplus(-score_fake).mean()
    loss_e = F.mse_loss(recon, x) + 0.01 * kl

    opt_d.zero_grad()
    loss_d.backward(retain_graph=True)
    opt_d.step()

    opt_g.zero_grad()
    loss_g.backward(retain_graph=True)
    opt_g.step()

    opt_e.zero_grad()
    loss_e.backward()
    opt_e.step()

    if it % 5 == 0:
        print(it, loss_d.item(), loss_g.item(), loss_e.item())
