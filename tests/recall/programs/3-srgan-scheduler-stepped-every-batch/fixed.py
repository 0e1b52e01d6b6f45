import argparse

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--num_epochs", default=100, type=int)
opt = parser.parse_args()
NUM_EPOCHS = opt.num_epochs

dataset = TensorDataset(torch.rand(1000, 3, 22, 22), torch.rand(1000, 3, 88, 88))
train_loader = DataLoader(dataset=dataset, num_workers=4, batch_size=64, shuffle=True)

netG = nn.Sequential(nn.Conv2d(3, 64, 9, padding=4), nn.PReLU(), nn.Conv2d(64, 48, 3, padding=1), nn.PixelShuffle(4))
netD = nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1), nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1))
criterion = nn.MSELoss()
optimizerG = optim.Adam(netG.parameters())
optimizerD = optim.Adam(netD.parameters())
schedulerG = optim.lr_scheduler.StepLR(optimizerG, step_size=NUM_EPOCHS // 2, gamma=0.1)
schedulerD = optim.lr_scheduler.StepLR(optimizerD, step_size=NUM_EPOCHS // 2, gamma=0.1)

for epoch in range(1, NUM_EPOCHS + 1):
    netG.train()
    netD.train()
    for data, target in train_loader:
        fake_img = netG(data)
        netD.zero_grad()
        d_loss = torch.relu(1 - netD(target)).mean() + torch.relu(1 + netD(fake_img.detach())).mean()
        d_loss.backward()
        optimizerD.step()

        netG.zero_grad()
        g_loss = criterion(fake_img, target) - 0.001 * netD(fake_img).mean()
        g_loss.backward()
        optimizerG.step()
    schedulerD.step()
    schedulerG.step()
    print(epoch, d_loss.item(), g_loss.item())
