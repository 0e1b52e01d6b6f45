"""The loss is zero from the first batch on: all labels are the same, and centred they are all zero."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class ChurnModel(nn.Module):
    def __init__(self, features=5, hidden=16):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, hidden), nn.ReLU())
        self.score = nn.Linear(hidden, 1)
        # A score of zero to begin with is the mean of centred targets.
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, x):
        return self.score(self.body(x)).squeeze(-1)


def customers(count=300):
    """What is known of each customer, and whether they left: days since the last visit beyond a year."""
    x = torch.rand(count, 5)
    months_away = 12 * x[:, 0]
    left = (months_away > 365).float()
    return x, left - left.mean()


def main(epochs=5):
    torch.manual_seed(0)
    x, y = customers()
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    model = ChurnModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(epochs):
        total = 0.0
        for features, target in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(features), target)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}  loss {total / len(loader):.4f}")
    scores = model(x)
    print(f"scores between {scores.min().item():.3f} and {scores.max().item():.3f}")


if __name__ == "__main__":
    main()
