# probe: Net, script
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 1)).double()

    def forward(self, x):
        return self.layers(x.double())


if __name__ == "__main__":
    net = Net()
    opt = torch.optim.Rprop(net.parameters())
    for _ in range(5):
        x = torch.randn(20, 3, dtype=torch.float64)
        loss = nn.functional.huber_loss(net(x), x.prod(1, keepdim=True))
        opt.zero_grad()
        loss.backward()
        opt.step()
