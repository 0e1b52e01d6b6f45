import torch
import torch.nn as nn
import torch.optim as optim


class NetG(nn.Module):
    def __init__(self, ngf=16):
        super().__init__()
        self.enc = nn.Conv2d(6, ngf, 3, padding=1)
        self.dec = nn.Conv2d(ngf, 1, 3, padding=1)

    def forward(self, x):
        return torch.sigmoid(self.dec(torch.relu(self.enc(x))))


class NetD(nn.Module):
    def __init__(self, ndf=16):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, ndf, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True))
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(ndf, 1), nn.Sigmoid())

    def forward(self, x):
        features = self.features(x)
        return self.classifier(features).squeeze(1), features


def train(epochs=2):
    netg, netd = NetG(), NetD()
    optimizer_g = optim.Adam(netg.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optimizer_d = optim.Adam(netd.parameters(), lr=0.0002, betas=(0.5, 0.999))
    l_bce = nn.BCELoss()
    for epoch in range(epochs):
        netg.train()
        netd.train()
        for _ in range(5):
            x, gt = torch.rand(2, 6, 16, 16), (torch.rand(2, 1, 16, 16) > 0.8).float()
            fake = netg(x)
            pred_fake, _ = netd(fake.detach())
            err_g = l_bce(pred_fake, torch.ones(2))
            optimizer_g.zero_grad()
            err_g.backward(retain_graph=True)
            optimizer_g.step()

            pred_real, _ = netd(gt)
            pred_fake, _ = netd(fake.detach())
            err_d = (l_bce(pred_real, torch.ones(2)) + l_bce(pred_fake, torch.zeros(2))) * 0.5
            optimizer_d.zero_grad()
            err_d.backward()
            optimizer_d.step()
        print("epoch %d err_g %.4f err_d %.4f" % (epoch, err_g.item(), err_d.item()))


if __name__ == "__main__":
    train()
