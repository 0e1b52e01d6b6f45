import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

MASTER_CONFIG = {"vocab_size": 65, "context_window": 16, "batch_size": 8, "d_model": 64, "epochs": 50}
dataset = torch.randint(0, MASTER_CONFIG["vocab_size"], (2000,), dtype=torch.long)


def get_batches(data, split, batch_size, context_window):
    train, val = data[: int(0.8 * len(data))], data[int(0.8 * len(data)) :]
    batch_data = train if split == "train" else val
    ix = torch.randint(0, batch_data.size(0) - context_window - 1, (batch_size,))
    x = torch.stack([batch_data[i : i + context_window] for i in ix]).long()
    y = torch.stack([batch_data[i + 1 : i + context_window + 1] for i in ix]).long()
    return x, y


class SimpleModel(nn.Module):
    def __init__(self, config=MASTER_CONFIG):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config["vocab_size"], config["d_model"])
        self.linear = nn.Sequential(
            nn.Linear(config["d_model"], config["d_model"]),
            nn.ReLU(),
            nn.Linear(config["d_model"], config["vocab_size"]),
        )
        print("model params:", sum([m.numel() for m in self.parameters()]))

    def forward(self, idx, targets=None):
        x = self.embedding(idx)
        a = self.linear(x)
        logits = F.softmax(a, dim=-1)
        if targets is not None:
            loss = F.cross_entropy(logits.view(-1, self.config["vocab_size"]), targets.view(-1))
            return logits, loss
        return logits


def train(model, optimizer, config=MASTER_CONFIG):
    losses = []
    for epoch in range(config["epochs"]):
        optimizer.zero_grad()
        xs, ys = get_batches(dataset, "train", config["batch_size"], config["context_window"])
        _, loss = model(xs, targets=ys)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print("loss: ", np.mean(losses[-10:]))


model = SimpleModel(MASTER_CONFIG)
train(model, torch.optim.Adam(model.parameters()))
