import logging
import sys

import torch
import torch.nn as nn

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")


class BinaryNet(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        return self.fc(x.mean((2, 3)))


def train(epoch, train_loader, model, criterion, optimizer, scheduler):
    model.train()
    cur_lr = optimizer.param_groups[0]["lr"]
    logging.info("epoch %d learning_rate: %e", epoch, cur_lr)
    total = 0.0
    for images, target in train_loader:
        logits = model(images)
        loss = criterion(logits, target)
        total += loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scheduler.step()
    return total / len(train_loader)


def main():
    epochs = 4
    model = BinaryNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / (epochs + 1))
    train_loader = [(torch.rand(8, 3, 32, 32), torch.randint(0, 10, (8,))) for _ in range(4)]
    for epoch in range(epochs):
        logging.info("loss %f", train(epoch, train_loader, model, criterion, optimizer, scheduler))


if __name__ == "__main__":
    main()
