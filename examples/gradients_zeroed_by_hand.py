"""The loss is the same in every epoch: a loop meant to tidy up wipes the gradients just before the step."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make_loader(samples=600, batch_size=60):
    """Two overlapping clouds of points."""
    labels = torch.randint(2, (samples,))
    points = torch.randn(samples, 2) + 2.5 * labels[:, None]
    return DataLoader(TensorDataset(points, labels.float()), batch_size=batch_size, shuffle=True)


def build_model(hidden=16):
    return nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Flatten(0))


def train_epoch(model, loader, optimizer, criterion):
    running = 0.0
    for points, labels in loader:
        loss = criterion(model(points), labels)
        optimizer.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            parameter.grad.data.zero_()
        optimizer.step()
        running += loss.item()
    return running / len(loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.05)
    args = parser.parse_args()

    torch.manual_seed(0)
    loader = make_loader()
    model = build_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(args.epochs):
        print(f"epoch {epoch}  loss {train_epoch(model, loader, optimizer, criterion):.4f}")


if __name__ == "__main__":
    main()
