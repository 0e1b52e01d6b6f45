import numpy as np
import torch
from torch import nn


class PositionalEmbedding(nn.Module):
    def __init__(self, max_positions, d_model):
        super().__init__()
        theta = np.array(
            [[p / np.power(10000, 2 * (j // 2) / d_model) for j in range(d_model)] for p in range(max_positions)]
        )
        self.embed = nn.Embedding(max_positions, d_model)
        with torch.no_grad():
            self.embed.weight[:, 0::2] = torch.FloatTensor(np.sin(theta[:, 0::2]))
            self.embed.weight[:, 1::2] = torch.FloatTensor(np.cos(theta[:, 1::2]))

    def forward(self, x):
        pos = torch.arange(x.size(1), device=x.device)
        return x + self.embed(pos)


class TransformerClassifier(nn.Module):
    def __init__(self, vocab_size=1000, d_model=32, num_answers=2):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, d_model)
        self.position = PositionalEmbedding(50, d_model)
        self.encoder = nn.TransformerEncoderLayer(d_model, nhead=2, dim_feedforward=64, batch_first=True)
        self.dense = nn.Linear(d_model, num_answers)

    def forward(self, x):
        x = self.encoder(self.position(self.tokens(x)))
        return self.dense(x.max(dim=1).values)


def train(train_loader, model, epochs=2):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    for epoch in range(epochs):
        model.train()
        losses = 0
        for x, y in train_loader:
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += loss.item()
        print(f"Training loss at epoch {epoch} is {losses / len(train_loader)}")


train([(torch.randint(0, 1000, (8, 20)), torch.randint(0, 2, (8,))) for _ in range(4)], TransformerClassifier())
