import torch
from torch import nn
from torch.nn import functional as F

device = "cuda" if torch.cuda.is_available() else "cpu"


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.pre = nn.Conv1d(40, 32, 7, padding=3)
        self.post = nn.Conv1d(32, 1, 7, padding=3)

    def forward(self, mel):
        return torch.tanh(self.post(F.leaky_relu(self.pre(mel), 0.1)))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.Sequential(nn.Conv1d(1, 16, 5, padding=2), nn.LeakyReLU(0.1), nn.Conv1d(16, 1, 3, padding=1))

    def forward(self, y):
        return self.convs(y)


def train_and_evaluate(epoch, nets, optims, scaler, loader):
    net_g, net_d = nets
    optim_g, optim_d = optims
    net_g.train()
    net_d.train()
    for mel, wave in loader:
        mel, wave = mel.to(device), wave.to(device)
        with torch.autocast(device):
            y_hat = net_g(mel)
            d_real, d_fake = net_d(wave), net_d(y_hat.detach())
            loss_disc = ((1 - d_real) ** 2).mean() + (d_fake**2).mean()
        optim_d.zero_grad()
        scaler.scale(loss_disc).backward()
        optim_d.step()

        with torch.autocast(device):
            d_fake = net_d(y_hat)
            loss_gen = ((1 - d_fake) ** 2).mean() + 45 * F.l1_loss(y_hat, wave)
        optim_g.zero_grad()
        scaler.scale(loss_gen).backward()
        optim_g.step()
        scaler.update()
    print(epoch, loss_disc.item(), loss_gen.item())


def run():
    net_g, net_d = Generator().to(device), Discriminator().to(device)
    optim_g = torch.optim.AdamW(net_g.parameters(), 1e-4, betas=(0.8, 0.99))
    optim_d = torch.optim.AdamW(net_d.parameters(), 1e-4, betas=(0.8, 0.99))
    scaler = torch.amp.GradScaler(device)
    loader = [(torch.randn(2, 40, 64), torch.randn(2, 1, 64)) for _ in range(3)]
    for epoch in range(2):
        train_and_evaluate(epoch, (net_g, net_d), (optim_g, optim_d), scaler, loader)


if __name__ == "__main__":
    run()
