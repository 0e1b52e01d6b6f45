# ruff: noqa
import torch
import torch.nn as nn

device = torch.device("cpu")
num_epochs = 2
loader = [(torch.randn(8, 4), torch.randint(0, 10, (8,))) for _ in range(4)]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 16)
        self.fc2 = nn.Linear(16, 10)
        self.scale = nn.Parameter(torch.ones(10))

    def forward(self, x):
        out = self.fc1(x)
        out = torch.relu(out)
        out = self.fc2(out)
        return out * self.scale


model = Net().to(device)
for p in model.fc1.parameters():
    p.requires_grad = True
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def set_rate(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate


for epoch in range(num_epochs):
    for i, (images, labels) in enumerate(loader):
        images = images.to(device)
        outputs = model(images)
        loss = criterion(outputs, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    set_rate(optimizer, 0.1 / (epoch + 1))

model.eval()
with torch.no_grad():
    print(model(loader[0][0]).argmax(dim=1))
