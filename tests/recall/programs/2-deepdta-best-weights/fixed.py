import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


class DeepDTA(nn.Module):
    def __init__(self):
        super().__init__()
        self.drug = nn.Sequential(nn.Embedding(65, 32), nn.Flatten(), nn.Linear(32 * 50, 96), nn.ReLU())
        self.prot = nn.Sequential(nn.Embedding(26, 32), nn.Flatten(), nn.Linear(32 * 100, 96), nn.ReLU())
        self.fc = nn.Sequential(nn.Linear(192, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 1))

    def forward(self, d, p):
        return self.fc(torch.cat([self.drug(d), self.prot(p)], 1)).squeeze(1)


def make(n):
    return TensorDataset(torch.randint(0, 65, (n, 50)), torch.randint(0, 26, (n, 100)), torch.randn(n))


train_dl = DataLoader(make(2000), batch_size=256, shuffle=True)
val_dl = DataLoader(make(200), batch_size=256)
test_dl = DataLoader(make(200), batch_size=256)

model = DeepDTA()
opt = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.MSELoss()


def rmse(dl):
    model.eval()
    with torch.no_grad():
        sq = [((model(d, p) - y) ** 2).sum() for d, p, y in dl]
    return (torch.stack(sq).sum() / len(dl.dataset)).sqrt().item()


best_loss = float("inf")
best_weights = None
for epoch in range(100):
    model.train()
    for d, p, y in train_dl:
        opt.zero_grad()
        loss = loss_fn(model(d, p), y)
        loss.backward()
        opt.step()
    val = rmse(val_dl)
    if val < best_loss:
        best_loss = val
        torch.save(model.state_dict(), "best.pt")

model.load_state_dict(torch.load("best.pt"))
print("test rmse", rmse(test_dl))
