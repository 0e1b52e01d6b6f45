import gc
from pathlib import Path

import torch
import torch.nn as nn


class AverageMeter:
    def __init__(self):
        self.sum, self.count = 0.0, 0

    def update(self, val, n=1):
        self.sum += val * n
        self.count += n

    @property
    def avg(self):
        return self.sum / max(self.count, 1)


class VADDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTMCell(128, 128)
        self.decoder = nn.Sequential(nn.Dropout(0.1), nn.ReLU(), nn.Conv1d(128, 1, kernel_size=1), nn.Sigmoid())

    def forward(self, x, state):
        h, c = self.rnn(x, state)
        out = self.decoder(h.unsqueeze(-1).float())
        return out, (h, c)


def train(config, loader, model, criterion, optimizer, device):
    losses = AverageMeter()
    model.train()
    for x, targets, masks in loader:
        targets = targets.to(device)
        x = x.to(device)
        masks = masks.to(device)

        stacked = []
        state = (torch.zeros(x.shape[0], 128, device=device), torch.zeros(x.shape[0], 128, device=device))
        for i in range(x.shape[1]):
            out, state = model(x[:, i], state)
            stacked.append(out.squeeze(-1))
        stacked = torch.cat(stacked, dim=1)

        loss = (criterion(stacked, targets) * masks).mean()
        loss.backward()
        optimizer.step()
        losses.update(loss.item(), masks.numel())
        gc.collect()
    return losses.avg


def run(config):
    device = torch.device(config["device"])
    model = VADDecoder().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    criterion = nn.BCELoss(reduction="none")
    loader = [(torch.randn(4, 6, 128), torch.rand(4, 6).round(), torch.ones(4, 6)) for _ in range(4)]
    best = float("inf")
    for i in range(config["num_epochs"]):
        train_loss = train(config, loader, model, criterion, optimizer, device)
        print(f"epoch {i}: {train_loss:.4f}")
        if train_loss < best:
            best = train_loss
            torch.save(model.state_dict(), Path(config["save_path"]))


run({"device": "cpu", "learning_rate": 5e-4, "num_epochs": 2, "save_path": "vad.pt"})
