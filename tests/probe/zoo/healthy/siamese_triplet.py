# probe: EmbeddingNet, TripletNet, script
import torch
import torch.nn as nn


class EmbeddingNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(10, 16), nn.PReLU(), nn.Linear(16, 2))

    def forward(self, x):
        return self.fc(x)


class TripletNet(nn.Module):
    def __init__(self, embedding_net=None):
        super().__init__()
        self.embedding_net = embedding_net or EmbeddingNet()

    def forward(self, x1, x2, x3):
        return self.embedding_net(x1), self.embedding_net(x2), self.embedding_net(x3)


def train():
    model = TripletNet(EmbeddingNet())
    loss_fn = nn.TripletMarginLoss(margin=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 8, gamma=0.1)
    for _ in range(5):
        anchor = torch.randn(16, 10)
        optimizer.zero_grad()
        loss = loss_fn(*model(anchor, anchor + 0.1 * torch.randn(16, 10), torch.randn(16, 10)))
        loss.backward()
        optimizer.step()
        scheduler.step()


if __name__ == "__main__":
    train()
