"""Gradients are computed in every round and never applied: the loop has no optimizer.step()."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Denoiser(nn.Module):
    def __init__(self, length=24, code=8):
        super().__init__()
        self.encode = nn.Linear(length, code)
        self.decode = nn.Linear(code, length)

    def forward(self, noisy):
        return self.decode(torch.tanh(self.encode(noisy)))


def waves(count, length=24):
    phase = torch.rand(count, 1) * 2 * torch.pi
    clean = torch.sin(phase + torch.linspace(0, 2 * torch.pi, length))
    return TensorDataset(clean + 0.3 * torch.randn_like(clean), clean)


def train(model, loader, optimizer, criterion, epochs):
    for epoch in range(epochs):
        total = 0.0
        for noisy, clean in loader:
            optimizer.zero_grad()
            loss = criterion(model(noisy), clean)
            loss.backward()
            total += loss.item()
        print(f"epoch {epoch}  loss {total / len(loader):.4f}")


def main():
    torch.manual_seed(0)
    model = Denoiser()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = DataLoader(waves(320), batch_size=32, shuffle=True)
    train(model, loader, optimizer, nn.MSELoss(), epochs=6)


if __name__ == "__main__":
    main()
