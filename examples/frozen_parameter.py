"""The mixing matrix keeps its random start: a flag from an experiment still says it needs no gradient."""

import torch
from torch import nn


class ChannelMixer(nn.Module):
    """Mixes channels by a learned matrix, and adds the input back."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Parameter(torch.randn(channels, channels) * 0.1)
        self.mix.requires_grad = False
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return x + self.gain * torch.tanh(x @ self.mix)


class SignalModel(nn.Module):
    def __init__(self, channels=6, depth=2):
        super().__init__()
        self.mixers = nn.ModuleList(ChannelMixer(channels) for _ in range(depth))
        self.readout = nn.Linear(channels, 1)

    def forward(self, x):
        for mixer in self.mixers:
            x = mixer(x)
        return self.readout(x).squeeze(-1)


def signals(count, channels=6):
    x = torch.randn(count, channels)
    return x, torch.tanh(x[:, 0] * x[:, 1]) + x[:, 2]


def main(epochs=100, lr=0.01):
    torch.manual_seed(0)
    x, y = signals(256)
    model = SignalModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        if epoch % 20 == 0:
            print(f"epoch {epoch:2d}  loss {loss.item():.4f}")
    for name, parameter in model.named_parameters():
        state = "unchanged" if torch.equal(parameter, start[name]) else "learned"
        print(f"{name:16s} {state}")


if __name__ == "__main__":
    main()
