import argparse
import logging

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

logger = logging.getLogger(__name__)


class Seq2Seq(nn.Module):
    def __init__(self, vocab_size, emb=256, hidden=512, dropout=0.3):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, emb)
        self.encoder = nn.GRU(emb, hidden, batch_first=True)
        self.decoder = nn.GRU(emb, hidden, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, vocab_size)

    def forward(self, src, trg_in):
        _, h = self.encoder(self.drop(self.embed(src)))
        o, _ = self.decoder(self.drop(self.embed(trg_in)), h)
        return self.out(self.drop(o))


def predict(model, loader, loss_function, device):
    """Token-level loss on the development data"""
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for src, trg in loader:
            src, trg = src.to(device), trg.to(device)
            logits = model(src, trg[:, :-1])
            total += loss_function(logits.flatten(0, 1), trg[:, 1:].flatten()).item()
            tokens += trg[:, 1:].numel()
    return total / tokens


def train_and_validate(model, train_loader, dev_loader, args, device):
    criterion = nn.CrossEntropyLoss(ignore_index=1, reduction="sum")
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    steps = 0
    for epoch_no in range(args.epochs):
        logger.info("EPOCH %d", epoch_no + 1)
        model.train()
        for src, trg in train_loader:
            src, trg = src.to(device), trg.to(device)
            optimizer.zero_grad()
            logits = model(src, trg[:, :-1])
            loss = criterion(logits.flatten(0, 1), trg[:, 1:].flatten()) / trg.size(0)
            loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            steps += 1
            if steps % args.validation_freq == 0:
                dev_loss = predict(model, dev_loader, criterion, device)
                logger.info("step %d dev loss %.3f", steps, dev_loss)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--validation-freq", type=int, default=1000)
    args = parser.parse_args()
    dev = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = [(torch.randint(2, 100, (16, 12)), torch.randint(2, 100, (16, 10))) for _ in range(64)]
    train_and_validate(Seq2Seq(100).to(dev), data, data[:8], args, dev)
