# Edges as index pairs, messages summed by `index_add`.
# probe: script
import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.message = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU())
        self.update = nn.GRUCell(dim, dim)

    def forward(self, h, edge_index):
        src, dst = edge_index
        m = self.message(torch.cat([h[src], h[dst]], dim=-1))
        return self.update(torch.zeros_like(h).index_add(0, dst, m), h)


class GraphClassifier(nn.Module):
    def __init__(self, n_feat, dim, n_class):
        super().__init__()
        self.embed = nn.Linear(n_feat, dim)
        self.layers = nn.ModuleList([Layer(dim) for _ in range(2)])
        self.readout = nn.Linear(dim, n_class)

    def forward(self, x, edge_index, batch):
        h = self.embed(x)
        for layer in self.layers:
            h = layer(h, edge_index)
        n = int(batch.max()) + 1
        pooled = torch.zeros(n, h.size(1)).scatter_add_(0, batch[:, None].expand_as(h), h)
        return self.readout(pooled)


model = GraphClassifier(5, 8, 2)
opt = torch.optim.Adam(model.parameters(), lr=5e-3)
for _ in range(10):
    x, edges = torch.randn(40, 5), torch.randint(0, 40, (2, 120))
    batch = torch.arange(8).repeat_interleave(5)
    loss = nn.functional.cross_entropy(model(x, edges, batch), torch.arange(8) % 2)
    opt.zero_grad()
    loss.backward()
    opt.step()
