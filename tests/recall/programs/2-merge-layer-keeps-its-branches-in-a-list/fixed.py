from typing import List, Optional

import torch
from torch import nn


class MergeLayer(nn.Module):
    """Runs several branches on the same input and merges their outputs."""

    def __init__(self, kernel_sizes: List[int], in_channels: int, filters: int, mode: str = "concat", dim: int = 1):
        super().__init__()
        self._mode = mode
        self._dim = dim
        self._layers = nn.ModuleList()
        for k in kernel_sizes:
            branch = nn.Sequential(nn.Conv1d(in_channels, filters, k, padding="same"), nn.ReLU())
            self._layers.append(branch)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        outputs = [layer(input) for layer in self._layers]
        if self._mode == "concat":
            return torch.cat(outputs, dim=self._dim)
        if self._mode == "sum":
            return sum(outputs)
        raise ValueError("Unknown merge mode: '%s'" % self._mode)


class ConvEncoder(nn.Module):
    def __init__(self, vocab: int, n_classes: int, hidden: Optional[int] = None):
        super().__init__()
        self.embedder = nn.Embedding(vocab, 64)
        self.conv = MergeLayer([3, 4, 5], 64, hidden or 32)
        self.dense = nn.Linear(3 * (hidden or 32), n_classes)

    def forward(self, ids):
        h = self.conv(self.embedder(ids).transpose(1, 2))
        return self.dense(h.max(dim=2)[0])


def get_train_op(model: nn.Module, lr: float):
    return torch.optim.Adam(model.parameters(), lr=lr)


encoder = ConvEncoder(10000, 2)
op = get_train_op(encoder, 1e-3)
for ids, label in [(torch.randint(10000, (8, 30)), torch.randint(2, (8,))) for _ in range(100)]:
    op.zero_grad()
    loss = nn.functional.cross_entropy(encoder(ids), label)
    loss.backward()
    op.step()
