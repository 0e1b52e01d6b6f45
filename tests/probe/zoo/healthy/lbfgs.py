# probe: script
import torch
from torch import nn

x = torch.linspace(0, 6.28, 64).unsqueeze(1)
y = x.sin()
net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=4, line_search_fn="strong_wolfe")
for epoch in range(10):

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        print(nn.functional.mse_loss(net(x), y).item())
