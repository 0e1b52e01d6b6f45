import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class ArcFace(nn.Module):
    def __init__(self, num_features, num_classes, s=30.0, m=0.50):
        super(ArcFace, self).__init__()
        self.s = s
        self.m = m
        self.W = nn.Parameter(torch.FloatTensor(num_classes, num_features))
        nn.init.xavier_uniform_(self.W)

    def forward(self, input, label):
        x = F.normalize(input)
        W = F.normalize(self.W)
        logits = F.linear(x, W)
        theta = torch.acos(torch.clamp(logits, -1.0 + 1e-7, 1.0 - 1e-7))
        target_logits = torch.cos(theta + self.m)
        one_hot = torch.zeros_like(logits)
        one_hot.scatter_(1, label.view(-1, 1).long(), 1)
        return self.s * (logits * (1 - one_hot) + target_logits * one_hot)


class MNISTNet(nn.Module):
    def __init__(self, num_features=64):
        super().__init__()
        self.conv = nn.Conv2d(1, 32, 3, 2, 1)
        self.bn = nn.BatchNorm2d(32)
        self.fc = nn.Linear(32 * 14 * 14, num_features)

    def forward(self, x):
        return self.fc(F.relu(self.bn(self.conv(x))).flatten(1))


def train(args, train_loader, model, metric_fc, criterion, optimizer):
    model.train()
    metric_fc.train()
    total = 0.0
    for input, target in train_loader:
        feature = model(input)
        output = metric_fc(feature, target)
        loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(train_loader)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", default=20, type=int)
    parser.add_argument("--lr", default=1e-1, type=float)
    args = parser.parse_args()
    train_loader = [(torch.rand(128, 1, 28, 28), torch.randint(0, 10, (128,))) for _ in range(40)]
    criterion = nn.CrossEntropyLoss()
    model = MNISTNet()
    metric_fc = ArcFace(64, 10)
    params = list(model.parameters()) + list(metric_fc.parameters())
    optimizer = optim.SGD(params, lr=args.lr, momentum=0.9, weight_decay=1e-4)
    for epoch in range(args.epochs):
        print("Epoch [%d/%d]" % (epoch, args.epochs), train(args, train_loader, model, metric_fc, criterion, optimizer))


if __name__ == "__main__":
    main()
