import torch
import torch.nn as nn
import torch.optim as optim


class NetD(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.LeakyReLU(0.2, inplace=True), nn.Dropout(0.5))
        self.fc_dis = nn.Linear(16 * 8 * 8, 1)
        self.fc_aux = nn.Linear(16 * 8 * 8, num_classes)
        self.softmax = nn.Softmax(dim=1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, input):
        flat = self.conv(input).view(-1, 16 * 8 * 8)
        classes = self.softmax(self.fc_aux(flat))
        realfake = self.sigmoid(self.fc_dis(flat)).view(-1, 1).squeeze(1)
        return realfake, classes


class NetG(nn.Module):
    def __init__(self, nz=20):
        super().__init__()
        self.fc = nn.Linear(nz, 3 * 16 * 16)

    def forward(self, z):
        return torch.tanh(self.fc(z)).view(-1, 3, 16, 16)


netG, netD = NetG(), NetD()
dis_criterion, aux_criterion = nn.BCELoss(), nn.NLLLoss()
optimizerD = optim.Adam(netD.parameters(), lr=0.0002, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=0.0002, betas=(0.5, 0.999))

for i in range(10):
    real, label = torch.rand(8, 3, 16, 16) * 2 - 1, torch.randint(0, 10, (8,))
    fake = netG(torch.randn(8, 20))

    netD.zero_grad()
    dis_output, aux_output = netD(real)
    errD_real = dis_criterion(dis_output, torch.ones(8)) + aux_criterion(aux_output, label)
    dis_output, aux_output = netD(fake.detach())
    errD_fake = dis_criterion(dis_output, torch.zeros(8)) + aux_criterion(aux_output, label)
    errD = errD_real + errD_fake
    errD.backward()
    optimizerD.step()

    netG.zero_grad()
    dis_output, aux_output = netD(fake)
    errG = dis_criterion(dis_output, torch.ones(8)) + aux_criterion(aux_output, label)
    errG.backward()
    optimizerG.step()
    print("[%d] Loss_D: %.4f Loss_G: %.4f" % (i, errD.item(), errG.item()))
