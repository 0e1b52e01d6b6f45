"""The last block stays frozen: requires_grad is set on the module, where it means nothing."""

import torch
from torch import nn


def block(width):
    return nn.Sequential(nn.Linear(width, width), nn.ReLU())


class Encoder(nn.Module):
    def __init__(self, features=8, width=24, depth=3):
        super().__init__()
        self.stem = nn.Linear(features, width)
        self.blocks = nn.ModuleList(block(width) for _ in range(depth))
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for layer in self.blocks:
            x = layer(x)
        return self.head(x)


def prepare_fine_tuning(model):
    """Train the head and the last block, keep the rest."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.head.requires_grad_(True)
    model.blocks[-1].requires_grad = True


def labelled(count, features=8):
    x = torch.randn(count, features)
    return x, (x[:, :3] + x[:, 3:6].tanh()).argmax(dim=1)


def main(epochs=40):
    torch.manual_seed(0)
    model = Encoder()
    prepare_fine_tuning(model)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    print("trainable:", ", ".join(trainable))

    x, y = labelled(300)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch:2d}  loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
