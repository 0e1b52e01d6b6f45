import torch
from torch import nn
from torch.nn import functional as F


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(40, 64, 3, padding=1), nn.BatchNorm1d(64), nn.ReLU())
        self.proj = nn.Linear(64, 32)

    def forward(self, spec):
        return self.proj(self.conv(spec).mean(-1))


class TripletLoss(nn.Module):
    def __init__(self, margin=0.5):
        super().__init__()
        self.margin = margin

    def forward(self, embeddings, labels):
        emb = torch.from_numpy(embeddings.detach().cpu().numpy())
        dist = torch.cdist(emb, emb)
        losses = []
        for i, label in enumerate(labels):
            same = labels == label
            hardest_pos = dist[i][same].max()
            hardest_neg = dist[i][~same].min()
            losses.append(F.relu(hardest_pos - hardest_neg + self.margin))
        mean_losses = torch.stack(losses).mean()
        mean_losses.requires_grad = True
        return mean_losses


def main():
    encoder = Encoder()
    loss_fn = TripletLoss()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    for step in range(20):
        spec = torch.randn(16, 40, 50)
        labels = torch.arange(4).repeat_interleave(4)
        loss = loss_fn(encoder(spec), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 5 == 0:
            print(step, loss.item())


if __name__ == "__main__":
    main()
