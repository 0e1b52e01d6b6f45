import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--bfloat16", type=int, default=1)
    return parser.parse_args()


class WorldModel(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, 128), nn.SiLU(), nn.Linear(128, dim))

    def forward(self, x):
        return self.net(x)


def main(args):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = TensorDataset(torch.randn(256, 32), torch.randn(256, 32))
    loader = DataLoader(data, batch_size=32, shuffle=True)
    model = WorldModel().to(device)
    opt = torch.optim.AdamW(model.parameters(), lr=args.lr)
    bfloat_enable = bool(args.bfloat16)

    for epoch in range(args.epochs):
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            with torch.autocast(device, enabled=bfloat_enable, dtype=torch.bfloat16):
                pred = model(x)
                loss = (pred - y).pow(2).mean()
            if not bfloat_enable:
                opt.zero_grad()
                loss.backward()
                opt.step()
            else:
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                opt.step()
        print(f"epoch {epoch}: {loss.item():.4f}")


if __name__ == "__main__":
    main(parse_args())
