"""Nothing goes wrong here: every layer learns, and the accuracy on held-out points says so."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Classifier(nn.Module):
    def __init__(self, features=2, hidden=32, classes=3):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(features, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(0.1),
        )
        self.head = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.head(self.encoder(x))


def spirals(points_per_class=200, classes=3):
    """Interleaved spirals, one per class."""
    radius = torch.linspace(0.1, 1, points_per_class)
    points, labels = [], []
    for label in range(classes):
        angle = radius * 4 + label * 2 * torch.pi / classes + torch.randn(points_per_class) * 0.1
        points.append(torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1))
        labels.append(torch.full((points_per_class,), label))
    return TensorDataset(torch.cat(points), torch.cat(labels))


def train_epoch(model, loader, optimizer, criterion):
    model.train()
    total = 0.0
    for points, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(points), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(loader.dataset)


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    correct = sum((model(points).argmax(dim=1) == labels).sum().item() for points, labels in loader)
    return correct / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--lr", type=float, default=0.01)
    args = parser.parse_args()

    torch.manual_seed(0)
    train_set, test_set = random_split(spirals(), [500, 100])
    train_loader = DataLoader(train_set, batch_size=50, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=100)

    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        loss = train_epoch(model, train_loader, optimizer, criterion)
        scheduler.step()
        if epoch % 5 == 0 or epoch == args.epochs - 1:
            print(f"epoch {epoch:2d}  loss {loss:.3f}  accuracy {accuracy(model, test_loader):.0%}")


if __name__ == "__main__":
    main()
