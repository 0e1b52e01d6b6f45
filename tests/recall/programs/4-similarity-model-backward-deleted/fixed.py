import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class PatchPairs(Dataset):
    def __init__(self, length=64):
        self.maps = torch.rand(length, 1, 16, 16)
        self.drone = torch.rand(length, 1, 16, 16)

    def __len__(self):
        return len(self.maps)

    def __getitem__(self, idx):
        return {"map": self.maps[idx], "drone": self.drone[idx]}


class SimilarityModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.project = nn.Linear(32, 16)

    def forward(self, a):
        return nn.functional.normalize(self.project(self.cnn(a)), dim=1)


def run_epoch(model, loader, loss_fn, optimizer, device):
    running = 0.0
    for i, sample in enumerate(loader):
        anchor = model(sample["drone"].to(device))
        positive = model(sample["map"].to(device))
        negative = positive.roll(1, dims=0)

        optimizer.zero_grad()
        loss = loss_fn(anchor, positive, negative)
        loss.backward()
        optimizer.step()

        running += loss.item()
    return running / (i + 1)


def main(num_epochs=2):
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    model = SimilarityModel().to(device)
    loader = DataLoader(PatchPairs(), batch_size=16, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    loss_fn = nn.TripletMarginLoss(margin=0.5)
    for epoch in range(num_epochs):
        model.train()
        print("Epoch", epoch, "loss", run_epoch(model, loader, loss_fn, optimizer, device))
    torch.save({"model_state_dict": model.state_dict(), "epoch": num_epochs}, "similarity.pth")


main()
