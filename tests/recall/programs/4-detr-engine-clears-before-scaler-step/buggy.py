import math
import sys

import torch
import torch.nn as nn


def to_device(item, device):
    return {k: v.to(device) for k, v in item.items()}


def train_one_epoch(model, criterion, data_loader, optimizer, device, epoch, max_norm=0.0):
    scaler = torch.amp.GradScaler(device.type)
    model.train()
    criterion.train()
    for samples, targets in data_loader:
        samples = samples.to(device)
        targets = to_device(targets, device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            outputs = model(samples)
            losses = criterion(outputs.float(), targets["boxes"])

        loss_value = losses.item()
        if not math.isfinite(loss_value):
            print("Loss is {}, stopping training".format(loss_value))
            sys.exit(1)

        scaler.scale(losses).backward()
        if max_norm > 0:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.zero_grad()
        scaler.step(optimizer)
        scaler.update()
    return loss_value


def build_model(hidden=64, queries=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, hidden), nn.ReLU(), nn.Linear(hidden, queries * 4))


def main():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    data = [(torch.rand(2, 3, 8, 8), {"boxes": torch.rand(2, 16)}) for _ in range(4)]
    for epoch in range(2):
        print(train_one_epoch(model, nn.L1Loss(), data, optimizer, device, epoch, max_norm=0.1))


if __name__ == "__main__":
    main()
