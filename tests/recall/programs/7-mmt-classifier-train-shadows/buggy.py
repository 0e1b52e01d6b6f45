import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader


class Classifier(nn.Module):
    """Simple abstract base class for a probabilistic classifier."""

    def __init__(self, k, lr=0.01, n_epochs=10):
        super().__init__()
        self.k = k
        self.lr = lr
        self.n_epochs = n_epochs

    def _get_loss_fn(self):
        raise NotImplementedError

    def train(self, train_set, valid_set=None):
        train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
        optimizer = optim.Adam(self.parameters(), lr=self.lr)
        loss_fn = self._get_loss_fn()
        for epoch in range(self.n_epochs):
            epoch_loss = 0.0
            for X, Y in train_loader:
                optimizer.zero_grad()
                loss = loss_fn(X, Y)
                loss.backward()
                optimizer.step()
                epoch_loss += loss.item()
            if valid_set is not None:
                print(f"[E:{epoch}] loss {epoch_loss:.3f} valid {self.score(valid_set):.3f}")

    def score(self, data):
        X, Y = zip(*data)
        with torch.no_grad():
            return (self.predict(torch.stack(X)) == torch.tensor(Y)).float().mean().item()

    def predict(self, X):
        return self(X).argmax(1)


class EndModel(Classifier):
    def __init__(self, layer_dims, **kwargs):
        super().__init__(k=layer_dims[-1], **kwargs)
        layers = []
        for a, b in zip(layer_dims[:-2], layer_dims[1:-1]):
            layers += [nn.Linear(a, b), nn.ReLU(), nn.Dropout()]
        self.network = nn.Sequential(*layers, nn.Linear(layer_dims[-2], layer_dims[-1]))
        self.criteria = nn.CrossEntropyLoss()

    def forward(self, x):
        return self.network(x)

    def _get_loss_fn(self):
        return lambda X, Y: self.criteria(self.forward(X), Y)
