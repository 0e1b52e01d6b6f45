import torch
import torch.nn as nn
import torch.nn.functional as F


class MyModelUnused(nn.Module):
    def __init__(self):
        super(MyModelUnused, self).__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, 1, 1)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 12, 3, 1, 1)
        self.pool2 = nn.MaxPool2d(2)
        self.fc = nn.Linear(12 * 6 * 6, 2)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = self.pool1(x)
        x = F.relu(self.conv2(x))
        x = self.pool2(x)
        x = x.view(x.size(0), -1)
        return self.fc(x)


def main():
    torch.manual_seed(2809)
    net = MyModelUnused()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(10):
        data, target = torch.randn(8, 3, 24, 24), torch.randint(0, 2, (8,))
        optimizer.zero_grad()
        loss = criterion(net(data), target)
        loss.backward()
        optimizer.step()
        print("loss:", loss.item())


if __name__ == "__main__":
    main()
