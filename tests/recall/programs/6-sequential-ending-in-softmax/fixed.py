import logging

import torch
from torch import nn
from torch.optim import Adam

LOGGER = logging.getLogger(__name__)


class GraphLayer(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fs = nn.Linear(dim, dim)
        self.fa = nn.Linear(2 * dim, dim)

    def forward(self, h, adj):
        msg = torch.bmm(adj, self.fs(h)) / adj.sum(-1, keepdim=True).clamp(min=1)
        gate = torch.sigmoid(self.fa(torch.cat([h, msg], -1)))
        return gate * torch.tanh(msg) + (1 - gate) * h


class TransformerGCNQA(nn.Module):
    def __init__(self, dim=32, n_layers=2, candidates=6):
        super().__init__()
        self.layers = nn.ModuleList([GraphLayer(dim) for _ in range(n_layers)])
        self.head = nn.Sequential(
            nn.Linear(2 * dim, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, candidates)
        )

    def forward(self, query, nodes, adj):
        for layer in self.layers:
            nodes = layer(nodes, adj)
        return self.head(torch.cat([query, nodes.mean(1)], dim=-1))


def train(model, dataloader, epochs=2, lr=1e-4):
    optimizer = Adam(model.parameters(), lr=lr)
    loss_function = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        for query, nodes, adj, answer in dataloader:
            optimizer.zero_grad()
            scores = model(query, nodes, adj)
            loss = loss_function(scores, answer)
            loss.backward()
            optimizer.step()
        LOGGER.info("epoch %d loss %.4f", epoch, loss.item())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    data = [
        (torch.randn(4, 32), torch.randn(4, 9, 32), (torch.rand(4, 9, 9) > 0.6).float(), torch.randint(0, 6, (4,)))
        for _ in range(5)
    ]
    train(TransformerGCNQA(), data)
