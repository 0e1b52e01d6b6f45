import torch
import torch.nn as nn

batch_norm = nn.BatchNorm2d


class MattingNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer0 = nn.Sequential(nn.Conv2d(4, 32, 3, padding=1), batch_norm(32), nn.ReLU6())
        self.layer1 = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), batch_norm(32), nn.ReLU6())
        self.pred = nn.Conv2d(32, 1, 5, padding=2)

    def forward(self, x):
        return self.pred(self.layer1(self.layer0(x)))

    def freeze_bn(self):
        for m in self.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.eval()


def train(net, train_loader, optimizer, epoch):
    net.train()
    running_loss = 0.0
    for i, (image, alpha) in enumerate(train_loader):
        optimizer.zero_grad()
        output = net(image)
        loss = torch.sqrt((output - alpha) ** 2 + 1e-6).mean()
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    print("epoch: %d, loss: %.5f" % (epoch, running_loss / (i + 1)))


def main(train_loader, num_epochs=30):
    net = MattingNet()
    net.load_state_dict(torch.load("mobilenetv2.pth"), strict=False)
    net.freeze_bn()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[20, 26], gamma=0.1)
    for epoch in range(num_epochs):
        train(net, train_loader, optimizer, epoch)
        scheduler.step()
