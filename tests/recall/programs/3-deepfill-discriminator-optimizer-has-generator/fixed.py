import torch
import torch.nn as nn
from torch.utils.data import DataLoader


class GatedGenerator(nn.Module):
    def __init__(self, latent=48):
        super().__init__()
        self.coarse = nn.Sequential(nn.Conv2d(4, latent, 5, 1, 2), nn.ELU(), nn.Conv2d(latent, 3, 3, 1, 1), nn.Tanh())

    def forward(self, img, mask):
        return self.coarse(torch.cat((img * (1 - mask) + mask, mask), 1))


class PatchDiscriminator(nn.Module):
    def __init__(self, latent=48):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(4, latent, 7, 1, 3), nn.LeakyReLU(0.2), nn.Conv2d(latent, 1, 4, 2, 1))

    def forward(self, img, mask):
        return self.net(torch.cat((img, mask), 1))


def Trainer(opt, trainset):
    generator = GatedGenerator()
    discriminator = PatchDiscriminator()
    L1Loss = nn.L1Loss()
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=opt.lr_g, betas=(opt.b1, opt.b2))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=opt.lr_d, betas=(opt.b1, opt.b2))
    dataloader = DataLoader(trainset, batch_size=opt.batch_size, shuffle=True, num_workers=8)

    for epoch in range(opt.epochs):
        for batch_idx, (img, mask) in enumerate(dataloader):
            fake = generator(img, mask)

            optimizer_d.zero_grad()
            fake_scalar = discriminator(fake.detach(), mask)
            true_scalar = discriminator(img, mask)
            loss_d = torch.relu(1 - true_scalar).mean() + torch.relu(1 + fake_scalar).mean()
            loss_d.backward()
            optimizer_d.step()

            optimizer_g.zero_grad()
            loss_g = L1Loss(fake, img) - opt.lambda_gan * discriminator(fake, mask).mean()
            loss_g.backward()
            optimizer_g.step()
        print("[Epoch %d/%d] D %.4f G %.4f" % (epoch + 1, opt.epochs, loss_d.item(), loss_g.item()))
