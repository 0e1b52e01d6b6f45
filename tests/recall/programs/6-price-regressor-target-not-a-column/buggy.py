import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


class Regressor(nn.Module):
    def __init__(self, n_features, hidden=64):
        super(Regressor, self).__init__()
        self.fc1 = nn.Linear(n_features, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, 1)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


def make_data(n=512, n_features=8):
    X = torch.randn(n, n_features)
    y = X[:, 0] * 3 + X[:, 1] ** 2 + 0.1 * torch.randn(n)
    return TensorDataset(X, y)


def fit(model, dataset, epochs=5, batch_size=64):
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(epochs):
        model.train()
        epoch_loss = []
        for xb, yb in loader:
            pred = model(xb)
            loss = criterion(pred, yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            epoch_loss.append(loss.item())
        print("epoch %d: mse %.4f" % (epoch, np.mean(epoch_loss)))


fit(Regressor(8), make_data())
