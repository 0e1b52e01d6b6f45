import os

import torch
import torch.nn.functional as F
from torch import nn


class ArcMarginProduct(nn.Module):
    def __init__(self, in_feature=128, out_feature=10575, s=32.0, m=0.50):
        super().__init__()
        self.s, self.m = s, m
        self.weight = nn.Parameter(torch.Tensor(out_feature, in_feature))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x, label):
        cosine = F.linear(F.normalize(x), F.normalize(self.weight))
        onehot = F.one_hot(label, cosine.size(1)).float()
        return self.s * (cosine - onehot * self.m)


class MobileFace(nn.Module):
    def __init__(self, feature_dim=128):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        self.linear = nn.Conv2d(64, feature_dim, (56, 48), bias=False)

    def forward(self, x):
        return self.linear(self.body(x)).flatten(1)


class Experiment:
    def __init__(self, args, trainloader):
        self.args = args
        self.trainloader = trainloader
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = MobileFace(args.feature_dim).to(self.device)
        self.margin = ArcMarginProduct(args.feature_dim, args.num_classes).to(self.device)
        self.criterion = nn.CrossEntropyLoss().to(self.device)
        self.optimizer_ft = torch.optim.SGD(
            [{"params": self.net.parameters(), "weight_decay": 5e-4}, {"params": self.margin.parameters()}],
            lr=0.1,
            momentum=0.9,
            nesterov=True,
        )
        self.scheduler = torch.optim.lr_scheduler.MultiStepLR(self.optimizer_ft, milestones=[6, 11, 16], gamma=0.1)

    def run(self):
        for epoch in range(1, self.args.total_epoch + 1):
            self.net.train()
            for img, label in self.trainloader:
                img, label = img.to(self.device), label.to(self.device)
                self.optimizer_ft.zero_grad()
                raw_logits = self.net(img)
                output = self.margin(raw_logits, label)
                total_loss = self.criterion(output, label)
                total_loss.backward()
                self.optimizer_ft.step()
            self.scheduler.step()
            torch.save(self.net.state_dict(), os.path.join(self.args.save_dir, "net_%03d.ckpt" % epoch))
            torch.save(self.margin.state_dict(), os.path.join(self.args.save_dir, "margin_%03d.ckpt" % epoch))
