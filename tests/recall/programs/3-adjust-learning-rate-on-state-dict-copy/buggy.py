import argparse

import torch
import torch.nn as nn

parser = argparse.ArgumentParser(description="ImageNet training")
parser.add_argument("--epochs", default=90, type=int)
parser.add_argument("-b", "--batch-size", default=256, type=int)
parser.add_argument("--lr", default=0.1, type=float)


def adjust_learning_rate(optimizer, epoch):
    """Sets the learning rate to the initial LR decayed by 10 every 30 epochs"""
    lr = args.lr * (0.1 ** (epoch // 30))
    for param_group in optimizer.state_dict()["param_groups"]:
        param_group["lr"] = lr


def train(train_loader, model, criterion, optimizer, epoch):
    model.train()
    for i, (input, target) in enumerate(train_loader):
        output = model(input)
        loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if i % 10 == 0:
            print("Epoch: [{0}][{1}/{2}] Loss {3:.4f}".format(epoch, i, len(train_loader), loss.item()))


if __name__ == "__main__":
    args = parser.parse_args()
    model = nn.Sequential(nn.Conv2d(3, 64, 7, 4, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1000))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9, weight_decay=1e-4)
    loader = [(torch.rand(args.batch_size, 3, 64, 64), torch.randint(0, 1000, (args.batch_size,))) for _ in range(20)]
    for epoch in range(args.epochs):
        adjust_learning_rate(optimizer, epoch)
        train(loader, model, criterion, optimizer, epoch)
