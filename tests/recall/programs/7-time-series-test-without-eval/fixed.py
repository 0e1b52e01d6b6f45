import numpy as np
import torch
from torch import nn, optim


class DaRnn(nn.Module):
    def __init__(self, n_series, hidden=128):
        super().__init__()
        self.encoder = nn.LSTM(n_series, hidden, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.decoder = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.encoder(x)
        return self.decoder(self.dropout(out[:, -1]))[:, 0]


class Forecaster:
    def __init__(self, X, y, T=10, lr=1e-3, epochs=50, batch_size=128):
        self.X, self.y, self.T = X, y, T
        self.epochs, self.batch_size = epochs, batch_size
        self.model = DaRnn(X.shape[1])
        self.criterion = nn.MSELoss()
        self.optimizer = optim.Adam(self.model.parameters(), lr=lr)
        self.train_size = int(len(X) * 0.7)

    def windows(self, start, stop):
        xs = np.stack([self.X[i : i + self.T] for i in range(start, stop)])
        ys = self.y[start + self.T : stop + self.T]
        return torch.from_numpy(xs).float(), torch.from_numpy(ys).float()

    def train(self):
        for epoch in range(self.epochs):
            self.model.train()
            for start in range(0, self.train_size - self.T, self.batch_size):
                x, y = self.windows(start, min(start + self.batch_size, self.train_size - self.T))
                self.optimizer.zero_grad()
                loss = self.criterion(self.model(x), y)
                loss.backward()
                self.optimizer.step()
            if epoch % 10 == 0:
                print("epoch", epoch, "test rmse", self.test())

    def test(self):
        self.model.eval()
        predictions, truth = [], []
        with torch.no_grad():
            for start in range(self.train_size, len(self.X) - self.T, self.batch_size):
                x, y = self.windows(start, min(start + self.batch_size, len(self.X) - self.T))
                predictions.append(self.model(x).numpy())
                truth.append(y.numpy())
        return float(np.sqrt(np.mean((np.concatenate(predictions) - np.concatenate(truth)) ** 2)))
