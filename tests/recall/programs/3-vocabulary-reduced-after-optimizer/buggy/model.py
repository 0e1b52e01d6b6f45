import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self, vocab_size=50265, dim=256, num_labels=2):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, dim)
        self.layer = nn.TransformerEncoderLayer(dim, 8, batch_first=True)
        self.classifier = nn.Linear(dim, num_labels)

    def forward(self, ids):
        return self.classifier(self.layer(self.word_embeddings(ids)).mean(1))
