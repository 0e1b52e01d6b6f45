"""backward runs and no weight gets a gradient: the loss was copied into a new tensor first."""

import torch
from torch import nn


class Ranker(nn.Module):
    """Scores documents by their features."""

    def __init__(self, features=6, hidden=16):
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, documents):
        return self.score(torch.relu(self.hidden(documents))).squeeze(-1)


def pairs(count, features=6):
    """Pairs of documents, the more relevant one first."""
    first, second = torch.randn(2, count, features)
    swap = first[:, 0] < second[:, 0]
    better = torch.where(swap[:, None], second, first)
    worse = torch.where(swap[:, None], first, second)
    return better, worse


def ranking_loss(model, better, worse, margin=1.0):
    return torch.relu(margin - model(better) + model(worse)).mean()


def main(steps=100):
    torch.manual_seed(0)
    model = Ranker()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(steps):
        better, worse = pairs(64)
        optimizer.zero_grad()
        ranking = ranking_loss(model, better, worse)
        loss = torch.tensor(ranking.item(), requires_grad=True)
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step:2d}  loss {loss.item():.3f}")

    better, worse = pairs(1000)
    right = (model(better) > model(worse)).float().mean().item()
    print(f"pairs in the right order: {right:.0%}")


if __name__ == "__main__":
    main()
