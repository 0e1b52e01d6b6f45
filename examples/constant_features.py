"""The encoder sees nothing but zeros: the only feature is centred along the wrong axis, on itself."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def standardise(features):
    centred = features - features.mean(dim=1, keepdim=True)
    return centred / (centred.norm() + 1e-8)


class Thermostat(nn.Module):
    """Predicts the heating power from the temperature outside."""

    def __init__(self, hidden=16):
        super().__init__()
        self.encoder = nn.Linear(1, hidden)
        self.decoder = nn.Linear(hidden, 1)

    def forward(self, temperature):
        return self.decoder(torch.tanh(self.encoder(standardise(temperature))))


def readings(count=256):
    temperature = 15 + 10 * torch.randn(count, 1)
    power = torch.relu(20 - temperature) / 10
    return temperature, power


def main(epochs=10):
    torch.manual_seed(0)
    temperature, power = readings()
    loader = DataLoader(TensorDataset(temperature, power), batch_size=32, shuffle=True)
    model = Thermostat()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}  loss {total / len(loader):.3f}  (variance of the target {power.var():.3f})")
    print(f"gradient of the encoder's weights: {model.encoder.weight.grad.abs().max().item()}")


if __name__ == "__main__":
    main()
