import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class Text2ImUNet(nn.Module):
    def __init__(self, ch=128):
        super().__init__()
        self.time = nn.Linear(1, ch)
        self.inp = nn.Conv2d(3, ch, 3, padding=1)
        self.out = nn.Conv2d(ch, 3, 3, padding=1)

    def forward(self, x, t):
        h = self.inp(x) + self.time(t[:, None])[:, :, None, None]
        return self.out(F.silu(h))


def base_train_step(model, batch, device):
    images = batch.to(device)
    t = torch.rand(images.size(0), device=device).to(images.dtype)
    noise = torch.randn_like(images)
    x_t = images * (1 - t)[:, None, None, None] + noise * t[:, None, None, None]
    return F.mse_loss(model(x_t, t), noise)


def run_epoch(model, loader, optimizer, device):
    model.train()
    for i, batch in enumerate(loader):
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = base_train_step(model, batch, device)
        loss.backward()
        optimizer.step()
        if i % 100 == 0:
            print(i, loss.item())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning_rate", "-lr", type=float, default=1e-5)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    device = "cuda"
    model = Text2ImUNet().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=0.0)
    data = [torch.rand(8, 3, 64, 64) for _ in range(200)]
    for _ in range(args.epochs):
        run_epoch(model, data, optimizer, device)
