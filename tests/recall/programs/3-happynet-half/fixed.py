import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim import Adam


class HappyNet(nn.Module):
    def __init__(self, n_emotions=7):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * 12 * 12, 1024)
        self.fc2 = nn.Linear(1024, n_emotions)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.view(x.size(0), -1)))
        return self.fc2(x)


class Trainer:
    def __init__(self, loader):
        self.net = HappyNet().cuda()
        self.optim = Adam(self.net.parameters(), lr=1e-4)
        self.criterion = nn.CrossEntropyLoss()
        self.loader = loader

    def epoch(self):
        self.net.train()
        for faces, emotions in self.loader:
            faces, emotions = faces.cuda(), emotions.cuda()
            self.optim.zero_grad()
            loss = self.criterion(self.net(faces), emotions)
            loss.backward()
            self.optim.step()
        return loss.item()


trainer = Trainer([(torch.rand(64, 1, 48, 48), torch.randint(0, 7, (64,))) for _ in range(100)])
for e in range(30):
    print(e, trainer.epoch())
