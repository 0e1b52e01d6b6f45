# probe: Recommender, script
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Ratings(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, i):
        return {"user": i % 20, "item": (i * 7) % 30, "features": torch.randn(4), "rating": torch.rand(())}


class Recommender(nn.Module):
    def __init__(self, n_users=20, n_items=30, dim=8):
        super().__init__()
        self.users, self.items = nn.Embedding(n_users, dim), nn.Embedding(n_items, dim)
        self.mlp = nn.Sequential(nn.Linear(2 * dim + 4, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, batch):
        x = torch.cat([self.users(batch["user"]), self.items(batch["item"]), batch["features"]], dim=1)
        return self.mlp(x).squeeze(1)


if __name__ == "__main__":
    model = Recommender()
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(2):
        for batch in DataLoader(Ratings(), batch_size=16, shuffle=True):
            loss = nn.functional.mse_loss(model(batch), batch["rating"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
