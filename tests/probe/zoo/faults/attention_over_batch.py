# probe: Net
# expected: probe-samples-mix "`MultiheadAttention` takes the first dimension"
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, vocab=50, d_model=16):
        super().__init__()
        self.tokens = nn.Embedding(vocab, d_model)
        self.positions = nn.Parameter(torch.zeros(1, 64, d_model))
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(d_model, 2, 32), 2)
        self.head = nn.Linear(d_model, vocab)

    def forward(self, x):
        batch_size, length = x.shape
        h = self.tokens(x) + self.positions[:, :length]
        return self.head(self.encoder(h))  # here
