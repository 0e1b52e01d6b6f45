import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.autograd import Variable


class MetaOptimizer(nn.Module):
    def __init__(self, num_layers, hidden_size):
        super(MetaOptimizer, self).__init__()
        self.hidden_size = hidden_size

        self.linear1 = nn.Linear(3, hidden_size)
        self.ln1 = nn.LayerNorm(hidden_size)

        self.lstms = nn.ModuleList()
        for i in range(num_layers):
            self.lstms.append(nn.LSTMCell(hidden_size, hidden_size))

        self.linear2 = nn.Linear(hidden_size, 1)
        self.linear2.weight.data.mul_(0.1)
        self.linear2.bias.data.fill_(0.0)

    def reset_lstm(self, batch):
        self.hx = [Variable(torch.zeros(batch, self.hidden_size)) for _ in self.lstms]
        self.cx = [Variable(torch.zeros(batch, self.hidden_size)) for _ in self.lstms]

    def forward(self, x):
        x = F.tanh(self.ln1(self.linear1(x)))
        for i in range(len(self.lstms)):
            self.hx[i], self.cx[i] = self.lstms[i](x, (self.hx[i], self.cx[i]))
            x = self.hx[i]
        return self.linear2(x).squeeze(1)


def main():
    meta = MetaOptimizer(2, 20)
    optimizer = optim.Adam(meta.parameters(), lr=1e-3)
    for epoch in range(100):
        for _ in range(20):
            target = torch.randn(64)
            theta = torch.zeros(64)
            meta.reset_lstm(64)
            total_loss = 0
            for step in range(10):
                grad = theta - target
                inp = torch.stack([grad, theta, torch.full_like(grad, float(step))], 1)
                theta = theta + meta(inp)
                total_loss = total_loss + ((theta - target) ** 2).mean()
            optimizer.zero_grad()
            total_loss.backward()
            optimizer.step()
        print("epoch", epoch, total_loss.item())


if __name__ == "__main__":
    main()
