import argparse

import torch
import torch.nn as nn


def build_model(opt):
    return nn.Sequential(nn.Embedding(opt.vocab, opt.dim), nn.Flatten(), nn.Linear(opt.dim * opt.length, opt.vocab))


def build_optim(model, opt, checkpoint=None):
    optim = torch.optim.Adam(model.parameters(), lr=opt.learning_rate, betas=(0.9, 0.998))
    if checkpoint is not None:
        optim.load_state_dict(checkpoint["optim"])
    return optim


def train_model(model, batches, opt, checkpoint):
    criterion = nn.CrossEntropyLoss()
    start = checkpoint["epoch"] if checkpoint else 1
    optim = build_optim(model, opt, checkpoint)
    for epoch in range(start, opt.epochs + 1):
        total = 0.0
        model.train()
        for src, tgt in batches:
            optim.zero_grad()
            loss = criterion(model(src), tgt)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), opt.max_grad_norm)
            optim.step()
            total += loss.item()
        print("Epoch %2d; loss: %6.3f" % (epoch, total / len(batches)))
        torch.save({"model": model.state_dict(), "optim": optim.state_dict(), "epoch": epoch}, "model_%d.pt" % epoch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="train.py")
    parser.add_argument("-vocab", type=int, default=1000)
    parser.add_argument("-dim", type=int, default=64)
    parser.add_argument("-length", type=int, default=10)
    parser.add_argument("-epochs", type=int, default=13)
    parser.add_argument("-learning_rate", type=float, default=1e-3)
    parser.add_argument("-max_grad_norm", type=float, default=5)
    parser.add_argument("-train_from", default="")
    opt = parser.parse_args()
    checkpoint = torch.load(opt.train_from) if opt.train_from else None
    model = build_model(opt)
    if checkpoint:
        model.load_state_dict(checkpoint["model"])
    data = [(torch.randint(0, 1000, (32, 10)), torch.randint(0, 1000, (32,))) for _ in range(50)]
    train_model(model, data, opt, checkpoint)
