# Sparse gradients and their optimizer.
# probe: script
import torch
from torch import nn

user, item = nn.Embedding(50, 8, sparse=True), nn.Embedding(70, 8, sparse=True)
head = nn.Linear(8, 1)
sparse = torch.optim.SparseAdam([*user.parameters(), *item.parameters()], lr=1e-2)
dense = torch.optim.Adam(head.parameters(), lr=1e-3)
for _ in range(20):
    u, i, r = torch.randint(0, 50, (32,)), torch.randint(0, 70, (32,)), torch.rand(32, 1) * 5
    loss = nn.functional.mse_loss(head(user(u) * item(i)), r)
    sparse.zero_grad()
    dense.zero_grad()
    loss.backward()
    sparse.step()
    dense.step()
