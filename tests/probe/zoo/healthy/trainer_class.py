# probe: script
import argparse

import torch
from torch import nn


class Trainer:
    def __init__(self, model, args):
        self.model = model
        self.args = args
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=args.lr, momentum=0.9)
        self.history = []

    def step(self, batch):
        inputs, targets = batch
        self.optimizer.zero_grad()
        outputs = self.model(inputs)
        loss = self.compute_loss(outputs, targets)
        loss.backward()
        self.optimizer.step()
        return loss.detach().item()

    def compute_loss(self, outputs, targets):
        l2 = sum(p.pow(2).sum() for p in self.model.parameters())
        return nn.functional.binary_cross_entropy_with_logits(outputs.squeeze(-1), targets) + 1e-4 * l2

    def train(self, batches):
        for epoch in range(self.args.epochs):
            self.history.append(sum(map(self.step, batches)) / len(batches))


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    model = nn.Sequential(nn.Linear(5, 8), nn.SELU(), nn.Linear(8, 1))
    data = [(torch.randn(16, 5), torch.randint(0, 2, (16,)).float()) for _ in range(4)]
    Trainer(model, args).train(data)
