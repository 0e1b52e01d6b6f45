import torch
import torchvision
from torch import nn


def freeze(net):
    for params in net.parameters():
        params.requires_grad = False


def build(num_classes):
    net = torchvision.models.vgg16(pretrained=True)
    freeze(net)
    net.classifier[-1] = nn.Linear(4096, num_classes)
    return net


def fit(net, loader, epochs, lr=1e-3):
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    loss_fn = nn.CrossEntropyLoss()
    history = []
    for epoch in range(epochs):
        net.train()
        running = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(net(x), y)
            loss.backward()
            optimizer.step()
            running += loss.item() * x.size(0)
        history.append(running)
    return history


if __name__ == "__main__":
    data = [(torch.rand(8, 3, 224, 224), torch.randint(0, 4, (8,))) for _ in range(10)]
    print(fit(build(4), data, epochs=3))
