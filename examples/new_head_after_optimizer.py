"""The new head never learns: the optimizer was built before it, and holds the weights of the old one."""

import torch
from torch import nn


class Backbone(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.fc = nn.Linear(32, classes)

    def forward(self, x):
        return self.fc(self.layers(x))


def clusters(samples, classes, features=6):
    centers = torch.randn(classes, features) * 2
    labels = torch.randint(classes, (samples,))
    return centers[labels] + torch.randn(samples, features), labels


def run(model, optimizer, x, y, epochs):
    criterion = nn.CrossEntropyLoss()
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
    accuracy = (model(x).argmax(dim=1) == y).float().mean()
    print(f"loss {loss.item():.3f}  accuracy {accuracy.item():.0%}")


def main():
    torch.manual_seed(0)
    model = Backbone(features=6, classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    # The task at hand has four classes.
    model.fc = nn.Linear(model.fc.in_features, 4)
    head = model.fc.weight.detach().clone()

    x, y = clusters(300, classes=4)
    run(model, optimizer, x, y, epochs=60)
    print("head unchanged" if torch.equal(head, model.fc.weight) else "head trained")


if __name__ == "__main__":
    main()
