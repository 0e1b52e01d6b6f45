import numpy as np
import torch
from torch import nn


class Decoder(nn.Module):
    def __init__(self, n_features, hidden):
        super(Decoder, self).__init__()
        self.lstm = nn.LSTM(n_features, hidden, batch_first=True)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(self.drop(out[:, -1]))


class DARNN:
    def __init__(self, X, y, T=10, hidden=32, epochs=3, lr=1e-3):
        self.X, self.y, self.T, self.epochs = X, y, T, epochs
        self.split = int(len(X) * 0.7)
        self.model = Decoder(X.shape[1], hidden)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)
        self.criterion = nn.MSELoss()

    def window(self, ends):
        x = np.stack([self.X[e - self.T : e] for e in ends])
        return torch.from_numpy(x).float(), torch.from_numpy(self.y[ends]).float().unsqueeze(1)

    def train(self):
        for epoch in range(self.epochs):
            self.model.train()
            order = np.random.permutation(np.arange(self.T, self.split))
            for start in range(0, len(order), 32):
                x, target = self.window(order[start : start + 32])
                self.optimizer.zero_grad()
                loss = self.criterion(self.model(x), target)
                loss.backward()
                self.optimizer.step()
            print("Epochs: ", epoch, " Loss: ", loss.item(), " Test: ", self.test())

    def test(self):
        self.model.eval()
        x, target = self.window(np.arange(self.split, len(self.X)))
        with torch.no_grad():
            return self.criterion(self.model(x), target).item()


series = np.random.randn(300, 5)
DARNN(series, series.sum(1)).train()
