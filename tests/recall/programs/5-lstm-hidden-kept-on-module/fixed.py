import argparse

import torch
import torch.nn as nn


class fMRI_LSTM(nn.Module):
    def __init__(self, hidden_dim, input_dim, batch_size):
        super(fMRI_LSTM, self).__init__()
        self.hidden_dim = hidden_dim
        self.batch_size = batch_size
        self.lstm = nn.LSTM(input_dim, hidden_dim, num_layers=1, batch_first=True)
        self.linear = nn.Linear(hidden_dim, 1)
        self.dropout = nn.Dropout(p=0.2)

    def init_hidden(self):
        return torch.zeros(1, self.batch_size, self.hidden_dim), torch.zeros(1, self.batch_size, self.hidden_dim)

    def forward(self, x):
        lstm_out, _ = self.lstm(x, self.init_hidden())
        out = self.dropout(lstm_out[:, -1, :])
        return torch.sigmoid(self.linear(out))


def train(model, loader, epochs, lr):
    loss_fn = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for data, label in loader:
            optimizer.zero_grad()
            output = model(data)
            loss = loss_fn(output.view(-1), label)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print("Epoch:", epoch, "loss:", total / len(loader))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    batches = [(torch.randn(8, 25, 22), torch.randint(0, 2, (8,)).float()) for _ in range(4)]
    train(fMRI_LSTM(32, 22, batch_size=8), batches, args.epochs, args.lr)
