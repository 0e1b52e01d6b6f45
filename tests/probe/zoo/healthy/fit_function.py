# The loop is in a function with the model, loader and criterion as arguments; the best state is kept.
# probe: MLP, script
import copy

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class MLP(nn.Module):
    def __init__(self, in_dim, hidden, out_dim):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_dim, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, out_dim)
        )

    def forward(self, x):
        return self.layers(x)


def run_epoch(model, loader, criterion, optimizer=None):
    model.train(optimizer is not None)
    total = 0.0
    with torch.set_grad_enabled(optimizer is not None):
        for xb, yb in loader:
            loss = criterion(model(xb), yb)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(xb)
    return total / len(loader.dataset)


def fit(model, train_loader, val_loader, criterion, optimizer, epochs=3):
    best, best_state = float("inf"), None
    for epoch in range(epochs):
        run_epoch(model, val_loader, criterion)
        train_loss = run_epoch(model, train_loader, criterion, optimizer)
        if train_loss < best:
            best, best_state = train_loss, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)


if __name__ == "__main__":
    x = torch.randn(200, 8)
    dataset = TensorDataset(x, (x[:, 0] > 0).long())
    train_set, val_set = random_split(dataset, [160, 40])
    model = MLP(8, 16, 2)
    fit(
        model, DataLoader(train_set, 32, shuffle=True), DataLoader(val_set, 40), nn.CrossEntropyLoss(),
        torch.optim.Adam(model.parameters(), lr=1e-3),
    )
