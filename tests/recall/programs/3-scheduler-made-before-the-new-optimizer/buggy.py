import argparse

import torch
from torch import nn
from torch.optim import AdamW, SGD
from torch.optim.lr_scheduler import CosineAnnealingLR


def get_args():
    p = argparse.ArgumentParser()
    p.add_argument("--opt", choices=["sgd", "adamw"], default="adamw")
    p.add_argument("--lr", type=float, default=0.1)
    p.add_argument("--epochs", type=int, default=30)
    return p.parse_args()


def main():
    args = get_args()
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = SGD(model.parameters(), lr=args.lr, momentum=0.9)
    scheduler = CosineAnnealingLR(optimizer, T_max=args.epochs)
    # SGD didn't converge, try AdamW
    optimizer = AdamW(model.parameters(), lr=args.lr / 100)
    criterion = nn.CrossEntropyLoss()
    loader = [(torch.rand(64, 3, 32, 32), torch.randint(0, 10, (64,))) for _ in range(100)]
    for epoch in range(args.epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        scheduler.step()
        print(epoch, optimizer.param_groups[0]["lr"], loss.item())


if __name__ == "__main__":
    main()
