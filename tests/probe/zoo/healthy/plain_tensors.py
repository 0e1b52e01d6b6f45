# No Module at all: weights in a list, updated by hand.
# probe: script
import torch

torch.manual_seed(0)
W1 = (torch.randn(4, 16) * 0.3).requires_grad_()
b1 = torch.zeros(16, requires_grad=True)
W2 = (torch.randn(16, 1) * 0.3).requires_grad_()
params = [W1, b1, W2]
optimizer = torch.optim.Adam(params, lr=1e-2)
X = torch.randn(64, 4)
Y = X.norm(dim=1, keepdim=True)
for i in range(0, 64, 16):
    pred = torch.relu(X[i : i + 16] @ W1 + b1) @ W2
    loss = ((pred - Y[i : i + 16]) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
