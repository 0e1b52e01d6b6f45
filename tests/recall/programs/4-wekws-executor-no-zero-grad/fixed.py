import logging

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils import clip_grad_norm_


class KeywordModel(nn.Module):
    def __init__(self, idim, hdim, odim):
        super().__init__()
        self.rnn = nn.GRU(idim, hdim, batch_first=True)
        self.classifier = nn.Linear(hdim, odim)

    def forward(self, feats):
        out, _ = self.rnn(feats)
        return self.classifier(out[:, -1])


class Executor:
    def __init__(self):
        self.step = 0

    def train(self, model, optimizer, data_loader, device, args):
        model.train()
        clip = args.get("grad_clip", 50.0)
        log_interval = args.get("log_interval", 10)
        for batch_idx, (feats, target) in enumerate(data_loader):
            feats = feats.to(device)
            target = target.to(device)
            logits = model(feats)
            loss = F.cross_entropy(logits, target)
            optimizer.zero_grad()
            loss.backward()
            grad_norm = clip_grad_norm_(model.parameters(), clip)
            if torch.isfinite(grad_norm):
                optimizer.step()
            if batch_idx % log_interval == 0:
                logging.debug("TRAIN Batch %d loss %.8f", batch_idx, loss.item())


def main():
    torch.manual_seed(777)
    device = torch.device("cpu")
    model = KeywordModel(40, 64, 3).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = [(torch.randn(8, 20, 40), torch.randint(0, 3, (8,))) for _ in range(12)]
    executor = Executor()
    for epoch in range(3):
        executor.train(model, optimizer, batches, device, {"grad_clip": 5.0})


if __name__ == "__main__":
    main()
