import torch
import torch.nn as nn


class Generator(nn.Module):
    def __init__(self, z_dim=16):
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(z_dim, 64), nn.ReLU())
        self.last = nn.Sequential(nn.Linear(64, 3 * 8 * 8), nn.Tanh())

    def forward(self, z):
        return self.last(self.l1(z)).view(-1, 3, 8, 8)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1 = nn.Sequential(nn.Conv2d(3, 16, 4, 2, 1), nn.LeakyReLU(0.1))
        self.last = nn.Conv2d(16, 1, 4)

    def forward(self, x):
        return self.last(self.l1(x)).view(-1)


class Trainer(object):
    def __init__(self, data, total_step=20, z_dim=16, g_lr=0.0001, d_lr=0.0004):
        self.data, self.total_step, self.z_dim = data, total_step, z_dim
        self.G, self.D = Generator(z_dim), Discriminator()
        self.g_optimizer = torch.optim.Adam(self.G.parameters(), g_lr, (0.0, 0.9))
        self.d_optimizer = torch.optim.Adam(self.D.parameters(), d_lr, (0.0, 0.9))

    def reset_grad(self):
        self.d_optimizer.zero_grad()
        self.g_optimizer.zero_grad()

    def train(self):
        for step in range(self.total_step):
            real_images = self.data[step % len(self.data)]
            self.reset_grad()

            # train D
            d_loss_real = torch.relu(1.0 - self.D(real_images)).mean()
            fake_images = self.G(torch.randn(real_images.size(0), self.z_dim))
            d_loss_fake = torch.relu(1.0 + self.D(fake_images.detach())).mean()
            d_loss = d_loss_real + d_loss_fake
            d_loss.backward()
            self.d_optimizer.step()

            # train G
            fake_images = self.G(torch.randn(real_images.size(0), self.z_dim))
            g_loss = -self.D(fake_images).mean()
            g_loss.backward()
            self.g_optimizer.step()
            if step % 5 == 0:
                print("Step [{}/{}], d_loss: {:.4f}".format(step, self.total_step, d_loss.item()))


Trainer([torch.rand(4, 3, 8, 8) * 2 - 1 for _ in range(4)]).train()
