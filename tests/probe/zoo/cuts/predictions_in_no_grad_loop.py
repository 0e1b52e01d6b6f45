# probe: script
# expected: probe-cut "cut by `no_grad`" on encoder.weight encoder.bias
import torch
import torch.nn as nn
import torch.nn.functional as F

x, y = torch.randn(64, 4), torch.randn(64, 1)
encoder, decoder = nn.Linear(4, 8), nn.Linear(8, 1)
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()])
for xb, yb in zip(x.split(16), y.split(16)):
    with torch.no_grad():  # here
        z = encoder(xb)
    loss = F.mse_loss(decoder(z), yb)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
