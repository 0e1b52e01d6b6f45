import torch
import torch.nn as nn
from torchvision import models


class ResnetEncoder(nn.Module):
    def __init__(self, arch="resnet18", frozen=True):
        super().__init__()
        net = getattr(models, arch)(weights="IMAGENET1K_V1")
        self.feature_net = nn.Sequential(*list(net.children())[:-1])
        self.output_size = 512
        if frozen:
            self.feature_net.requires_grad = False

    def forward(self, image):
        return self.feature_net(image).flatten(1)


class Classifier(nn.Module):
    def __init__(self, n_cls):
        super().__init__()
        self.encoder = ResnetEncoder()
        self.head = nn.Linear(self.encoder.output_size, n_cls)

    def forward(self, x):
        return self.head(self.encoder(x))


def train(model, loader, optimizer, criterion, device):
    model.to(device)
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x.to(device)), y.to(device))
        loss.backward()
        optimizer.step()


net = Classifier(37)
opt = torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9, weight_decay=1e-4)
pets = [(torch.rand(16, 3, 224, 224), torch.randint(0, 37, (16,))) for _ in range(20)]
for _ in range(10):
    train(net, pets, opt, nn.CrossEntropyLoss(), "cpu")
