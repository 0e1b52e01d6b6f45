# allowed: probe-frozen on backbone.*
# probe: FineTuned, script
import torch
from torch import nn


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(8, 100)

    def forward(self, x):
        return self.fc(self.features(x).flatten(1))


class FineTuned(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.backbone = Backbone()
        for param in self.backbone.parameters():
            param.requires_grad = False
        self.backbone.fc = nn.Identity()
        self.head = nn.Linear(8, num_classes)

    def train(self, mode=True):
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            feats = self.backbone(x)
        return self.head(feats)


if __name__ == "__main__":
    model = FineTuned()
    optimizer = torch.optim.SGD(model.head.parameters(), lr=1e-2, momentum=0.9)
    model.train()
    for _ in range(5):
        loss = nn.functional.cross_entropy(model(torch.rand(16, 3, 8, 8)), torch.randint(0, 4, (16,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
