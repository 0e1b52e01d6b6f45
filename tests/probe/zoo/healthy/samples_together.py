# Models whose first dimension isn't the batch, or that mix their samples on purpose.
# probe: TimeFirst, Tagger, Decoder, BatchFirst, Nodes, Contrastive, MinibatchDeviation, OwnNorm, Scattered, Bag
import torch
import torch.nn.functional as F
from torch import nn


class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(7, 9), nn.Linear(9, 3)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(out[-1])


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(30, 7), nn.LSTM(7, 9), nn.Linear(9, 5)

    def forward(self, sentence):
        out, _ = self.lstm(self.embedding(sentence).view(len(sentence), 1, -1))
        return self.head(out.view(len(sentence), -1))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(8, 8)

    def forward(self, x):
        return self.head(self.layer(x))


class BatchFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(7, 9, batch_first=True), nn.Linear(9, 3)

    def forward(self, x):
        batch_size = x.size(0)
        out, _ = self.gru(x)
        return self.head(out[:, -1]).view(batch_size, -1)


class Nodes(nn.Module):
    """Every node attends to every other one."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(6, 8)

    def forward(self, x):
        scores = self.query(x) @ self.key(x).t() / 8**0.5
        return F.softmax(scores, dim=-1) @ self.value(x)


class Contrastive(nn.Module):
    """Similarities of all pairs are what it is for."""

    def __init__(self):
        super().__init__()
        self.image, self.text = nn.Linear(12, 8), nn.Linear(10, 8)

    def forward(self, image, text):
        first = F.normalize(self.image(image), dim=-1)
        second = F.normalize(self.text(text), dim=-1)
        return first @ second.t()


class MinibatchDeviation(nn.Module):
    """A critic that sees how much the samples of a batch differ."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(9, 1)

    def forward(self, x):
        h = self.conv(x).relu().mean((2, 3))
        spread = h.std(dim=0).mean().expand(len(h), 1)
        return self.head(torch.cat([h, spread], dim=1))


class OwnNorm(nn.Module):
    """Batch norm by hand."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 2)

    def forward(self, x):
        h = self.first(x)
        h = (h - h.mean(0)) / (h.std(0) + 1e-5)
        return self.second(h.relu())


class Scattered(nn.Module):
    """Nodes of several graphs, with the graph that each belongs to."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 2)

    def forward(self, x, graph):
        h = self.first(x).relu()
        pooled = torch.zeros(2, 8).index_add(0, graph.long().clamp(0, 1), h)
        return self.second(pooled)


class Bag(nn.Module):
    """Many instances, one answer: attention over the instances."""

    def __init__(self):
        super().__init__()
        self.features, self.attention, self.head = nn.Linear(6, 8), nn.Linear(8, 1), nn.Linear(8, 2)

    def forward(self, instances):
        h = self.features(instances).relu()
        return self.head((F.softmax(self.attention(h), dim=0) * h).sum(0))
