import math

import torch
import torch.nn as nn


class PositionalEmbedding(nn.Module):
    def __init__(self, d_model, max_len=512):
        super().__init__()

        pe = torch.zeros(max_len, d_model).float()
        pe.requires_grad = False

        position = torch.arange(0, max_len).float().unsqueeze(1)
        div_term = (torch.arange(0, d_model, 2).float() * -(math.log(10000.0) / d_model)).exp()

        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)

        pe = pe.unsqueeze(0)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return self.pe[:, : x.size(1)]


class BERTEmbedding(nn.Module):
    def __init__(self, vocab_size, embed_size, dropout=0.1):
        super().__init__()
        self.token = nn.Embedding(vocab_size, embed_size, padding_idx=0)
        self.position = PositionalEmbedding(d_model=embed_size)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, sequence):
        return self.dropout(self.token(sequence) + self.position(sequence))


class BERTLM(nn.Module):
    def __init__(self, vocab_size, hidden=256):
        super().__init__()
        self.embedding = BERTEmbedding(vocab_size, hidden)
        self.block = nn.TransformerEncoderLayer(hidden, 8, batch_first=True)
        self.mask_lm = nn.Linear(hidden, vocab_size)

    def forward(self, x):
        return self.mask_lm(self.block(self.embedding(x)))


class BERTTrainer:
    def __init__(self, vocab_size, loader, lr=1e-4):
        self.model = BERTLM(vocab_size)
        self.loader = loader
        self.optim = torch.optim.Adam(self.model.parameters(), lr=lr, betas=(0.9, 0.999), weight_decay=0.01)
        self.criterion = nn.CrossEntropyLoss(ignore_index=0)

    def iteration(self, epoch):
        for data, label in self.loader:
            logits = self.model(data)
            loss = self.criterion(logits.transpose(1, 2), label)
            self.optim.zero_grad()
            loss.backward()
            self.optim.step()
