import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class WideNet(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU())
        self.block2 = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU())
        self.fc = nn.Linear(32, num_classes)

    def forward(self, x):
        a1 = self.block1(x)
        a2 = self.block2(a1)
        return a1, a2, self.fc(a2.mean((2, 3)))


def attention_map(fm, p=2, eps=1e-6):
    am = torch.pow(torch.abs(fm), p).sum(dim=1, keepdim=True)
    return am / (torch.norm(am, dim=(2, 3), keepdim=True) + eps)


def at_loss(fm_s, fm_t):
    return F.mse_loss(attention_map(fm_s), attention_map(fm_t))


def train_step(opt, train_loader, snet, tnet, optimizer, epoch):
    snet.train()
    tnet.eval()
    for idx, (img, _) in enumerate(train_loader):
        s1, s2, _ = snet(img)
        with torch.no_grad():
            t1, t2, _ = tnet(img)
        at1 = at_loss(s1, t1).detach() * opt.beta1
        at2 = at_loss(s2, t2).detach() * opt.beta2
        loss = (at1 + at2).requires_grad_()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if idx % 10 == 0:
            print("Epoch[{0}]:[{1:03}] AT_loss:{2:.4f}".format(epoch, idx, loss.item()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--beta1", type=int, default=500)
    parser.add_argument("--beta2", type=int, default=1000)
    opt = parser.parse_args()
    student, teacher = WideNet(), WideNet()
    optimizer = torch.optim.SGD(student.parameters(), lr=opt.lr, momentum=0.9, weight_decay=1e-4, nesterov=True)
    loader = [(torch.rand(8, 3, 16, 16), torch.randint(0, 10, (8,))) for _ in range(5)]
    for epoch in range(2):
        train_step(opt, loader, student, teacher, optimizer, epoch)


if __name__ == "__main__":
    main()
