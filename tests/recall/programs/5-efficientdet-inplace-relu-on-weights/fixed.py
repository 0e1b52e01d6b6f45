import torch
import torch.nn as nn
import torch.optim as optim


class SeparableConv(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class FuseFeature(nn.Module):
    """Weighted sum of two feature maps, as in BiFPN."""

    def __init__(self, channels, epsilon=1e-4):
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(2, dtype=torch.float32), requires_grad=True)
        self.weight_relu = nn.ReLU()
        self.conv = SeparableConv(channels)

    def forward(self, a, b):
        weight = self.weight_relu(self.weight)
        weight = weight / (torch.sum(weight, dim=0) + self.epsilon)
        return self.conv(weight[0] * a + weight[1] * b)


class TinyDet(nn.Module):
    def __init__(self, channels=16, num_classes=4):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.down = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.up = nn.Upsample(scale_factor=2)
        self.fuse = FuseFeature(channels)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x):
        p3 = self.stem(x)
        p4 = self.down(p3)
        return self.head(self.fuse(p3, self.up(p4)).mean((2, 3)))


model = TinyDet()
optimizer = optim.AdamW(model.parameters(), 1e-4)
criterion = nn.CrossEntropyLoss()
for step in range(10):
    imgs, labels = torch.rand(4, 3, 32, 32), torch.randint(0, 4, (4,))
    optimizer.zero_grad()
    loss = criterion(model(imgs), labels)
    loss.backward()
    optimizer.step()
print(loss.item())
