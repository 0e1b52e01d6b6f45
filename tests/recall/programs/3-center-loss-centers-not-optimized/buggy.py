import torch
import torch.nn as nn


class CenterLoss(nn.Module):
    def __init__(self, num_classes=10, feat_dim=2):
        super(CenterLoss, self).__init__()
        self.centers = nn.Parameter(torch.randn(num_classes, feat_dim))

    def forward(self, x, labels):
        return ((x - self.centers[labels]) ** 2).sum(1).clamp(min=1e-12, max=1e12).mean()


class ConvNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 32, 5, 1, 2), nn.PReLU(), nn.MaxPool2d(4))
        self.fc1 = nn.Linear(32 * 7 * 7, 2)
        self.fc2 = nn.Linear(2, num_classes)

    def forward(self, x):
        x = self.fc1(self.conv(x).flatten(1))
        return x, self.fc2(x)


num_classes, weight_cent, max_epoch = 10, 0.003, 100
trainloader = [(torch.rand(128, 1, 28, 28), torch.randint(0, num_classes, (128,))) for _ in range(30)]

model = ConvNet(num_classes)
criterion_xent = nn.CrossEntropyLoss()
criterion_cent = CenterLoss(num_classes=num_classes, feat_dim=2)
optimizer_model = torch.optim.SGD(model.parameters(), lr=0.001, weight_decay=5e-04, momentum=0.9)

for epoch in range(max_epoch):
    model.train()
    for data, labels in trainloader:
        features, outputs = model(data)
        loss_xent = criterion_xent(outputs, labels)
        loss_cent = criterion_cent(features, labels) * weight_cent
        loss = loss_xent + loss_cent
        optimizer_model.zero_grad()
        loss.backward()
        optimizer_model.step()
    print(epoch, loss.item())
