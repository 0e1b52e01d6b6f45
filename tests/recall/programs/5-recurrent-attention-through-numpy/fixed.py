import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim import Adam


class GlimpseNetwork(nn.Module):
    def __init__(self, in_dim=64, hidden=32):
        super().__init__()
        self.fc1 = nn.Linear(in_dim, hidden)
        self.fc2 = nn.Linear(hidden, hidden)

    def forward(self, patch):
        return F.relu(self.fc2(F.relu(self.fc1(patch))))


class RecurrentAttention(nn.Module):
    def __init__(self, hidden=32, classes=10):
        super().__init__()
        self.sensor = GlimpseNetwork(hidden=hidden)
        self.core = nn.GRUCell(hidden, hidden)
        self.classifier = nn.Linear(hidden, classes)
        self.hidden = hidden

    def forward(self, patches):
        h = torch.zeros(patches.size(0), self.hidden)
        for t in range(patches.size(1)):
            g = self.sensor(patches[:, t])
            g = (g - g.mean(dim=1, keepdim=True)) / (g.std(dim=1, keepdim=True) + 1e-6)
            h = self.core(g, h)
        return F.log_softmax(self.classifier(h), dim=1)


def train_one_epoch(model, loader, optimizer):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(model(x), y)
        loss.backward()
        optimizer.step()
    return loss.item()


model = RecurrentAttention()
optimizer = Adam(model.parameters(), lr=3e-4)
loader = [(torch.rand(8, 6, 64), torch.randint(0, 10, (8,))) for _ in range(5)]
for epoch in range(2):
    print(epoch, train_one_epoch(model, loader, optimizer))
