# probe: script
# expected: probe-not-in-optimizer "in no optimizer" on encoder.weight encoder.bias
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(64, 4), torch.randn(64, 1)
encoder = nn.Linear(4, 8)  # here
decoder = nn.Linear(8, 1)
optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)  # cause
for xb, yb in zip(x.split(16), y.split(16)):
    optimizer.zero_grad()
    F.mse_loss(decoder(encoder(xb).tanh()), yb).backward()
    optimizer.step()
