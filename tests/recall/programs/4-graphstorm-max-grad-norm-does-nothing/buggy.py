import argparse
import logging

import torch as th
from torch import nn


class NodePredictor(nn.Module):
    def __init__(self, in_dim=16, hidden=32, classes=4):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(in_dim, hidden), nn.ReLU())
        self.decoder = nn.Linear(hidden, classes)

    def forward(self, feats, labels):
        return nn.functional.cross_entropy(self.decoder(self.encoder(feats)), labels)


class NodePredictionTrainer:
    def __init__(self, model, lr):
        self._model = model
        self._optimizer = th.optim.Adam(model.parameters(), lr=lr)

    @property
    def optimizer(self):
        return self._optimizer

    def fit(self, train_loader, num_epochs, max_grad_norm=None, grad_norm_type=2.0):
        model = self._model
        total_steps = 0
        for epoch in range(num_epochs):
            model.train()
            for i, (feats, labels) in enumerate(train_loader):
                total_steps += 1
                loss = model(feats, labels)

                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()

                if max_grad_norm is not None:
                    th.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm, grad_norm_type)
                if i % 20 == 0:
                    logging.info("Epoch %05d | Batch %03d | Loss: %.4f", epoch, i, loss.item())
        return total_steps


def main():
    argparser = argparse.ArgumentParser()
    argparser.add_argument("--max-grad-norm", type=float, default=1.0)
    argparser.add_argument("--num-epochs", type=int, default=2)
    args = argparser.parse_args()
    loader = [(th.randn(32, 16), th.randint(0, 4, (32,))) for _ in range(6)]
    trainer = NodePredictionTrainer(NodePredictor(), lr=1e-3)
    trainer.fit(loader, args.num_epochs, max_grad_norm=args.max_grad_norm)


if __name__ == "__main__":
    main()
