import argparse

import torch
import torch.nn as nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class SmallNet(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.classifier = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.classifier(torch.relu(self.conv_stem(x)).mean((2, 3)))


@torch.no_grad()
def validate(model, loader):
    model.eval()
    hits = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    return hits / sum(len(y) for _, y in loader)


def train_one_epoch(model, loader, optimizer, loss_fn):
    model.train()
    for x, y in loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-ema-decay", type=float, default=0.99)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    model = SmallNet()
    model_ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(args.model_ema_decay))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    loader = [(torch.rand(8, 3, 16, 16), torch.randint(0, 4, (8,))) for _ in range(6)]
    for epoch in range(args.epochs):
        loss = train_one_epoch(model, loader, optimizer, loss_fn)
        print(epoch, loss, validate(model, loader), validate(model_ema, loader))
    torch.save(model_ema.module.state_dict(), "ema.pth")


if __name__ == "__main__":
    main()
