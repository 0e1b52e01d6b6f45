import torch
import torch.nn as nn


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inplanes, planes):
        super(Bottleneck, self).__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes * 4, kernel_size=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes * 4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)))


class ResNet(nn.Module):
    def __init__(self, num_classes=200):
        super(ResNet, self).__init__()
        self.stem = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.layer1 = Bottleneck(64, 64)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(p=0.5)
        self.fc = nn.Linear(64 * 4, num_classes)

    def forward(self, x):
        x = self.layer1(self.stem(x))
        feature = self.avgpool(x)
        x = feature.view(feature.size(0), -1)
        x = self.drop(x)
        return self.fc(x), feature


def test(net, loader):
    net.eval()
    correct = total = 0
    with torch.no_grad():
        for img, label in loader:
            logits, _ = net(img)
            correct += (logits.argmax(1) == label).sum().item()
            total += len(label)
    return correct / total


def run(loader, test_loader, epochs=500):
    net = ResNet()
    criterion = nn.CrossEntropyLoss()
    opt = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-4)
    for epoch in range(epochs):
        net.train()
        for img, label in loader:
            opt.zero_grad()
            logits, _ = net(img)
            criterion(logits, label).backward()
            opt.step()
        print(epoch, test(net, test_loader))
