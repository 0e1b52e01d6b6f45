import torch
from torch import nn
from torch.nn import functional as F


class FullEmbeddingDropout(nn.Module):
    """Drops whole columns' embeddings."""

    def __init__(self, dropout: float):
        super().__init__()
        self.dropout = dropout

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        ones = X.new_ones((X.size(1), 1))
        mask = F.dropout(ones, self.dropout).expand_as(X)
        return mask * X


class CatEmbeddings(nn.Module):
    def __init__(self, n_tokens: int, embed_dim: int, dropout: float, full: bool = True):
        super().__init__()
        self.embed = nn.Embedding(n_tokens, embed_dim, padding_idx=0)
        self.dropout = FullEmbeddingDropout(dropout) if full else nn.Dropout(dropout)

    def forward(self, X):
        return self.dropout(self.embed(X))


class TabModel(nn.Module):
    def __init__(self, n_tokens, n_cols, embed_dim=32):
        super().__init__()
        self.cat_embed = CatEmbeddings(n_tokens, embed_dim, 0.1)
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(n_cols * embed_dim, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, X):
        return self.mlp(self.cat_embed(X)).squeeze(-1)


def fit(model, loader, n_epochs=10):
    opt = torch.optim.AdamW(model.parameters())
    for _ in range(n_epochs):
        model.train()
        for X, y in loader:
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(model(X), y).backward()
            opt.step()
    return model


def predict_proba(model, X):
    model.eval()
    with torch.inference_mode():
        return torch.sigmoid(model(X))
