import torch
import torch.nn as nn
import torch.nn.functional as F


class DeepLab(nn.Module):
    def __init__(self, num_classes=21, freeze_bn=False):
        super(DeepLab, self).__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.decoder = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.last = nn.Conv2d(64, num_classes, 1)
        self.freeze = freeze_bn
        if freeze_bn:
            self.freeze_bn()

    def forward(self, input):
        x = self.decoder(self.backbone(input))
        return F.interpolate(self.last(x), size=input.size()[2:], mode="bilinear", align_corners=True)

    def freeze_bn(self):
        for m in self.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.eval()


class Trainer(object):
    def __init__(self, args, train_loader):
        self.args = args
        self.train_loader = train_loader
        self.model = DeepLab(num_classes=args.nclass, freeze_bn=True)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
        self.criterion = nn.CrossEntropyLoss(ignore_index=255)

    def training(self, epoch):
        self.model.train()
        for image, target in self.train_loader:
            self.optimizer.zero_grad()
            output = self.model(image)
            loss = self.criterion(output, target)
            loss.backward()
            self.optimizer.step()


def main(args, train_loader):
    trainer = Trainer(args, train_loader)
    for epoch in range(args.epochs):
        trainer.training(epoch)
