import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class PointNetfeat(nn.Module):
    def __init__(self):
        super(PointNetfeat, self).__init__()
        self.conv1 = nn.Conv1d(3, 64, 1)
        self.conv2 = nn.Conv1d(64, 128, 1)
        self.bn1, self.bn2 = nn.BatchNorm1d(64), nn.BatchNorm1d(128)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return torch.max(x, 2)[0]


class PointNetCls(nn.Module):
    def __init__(self, k=2):
        super(PointNetCls, self).__init__()
        self.feat = PointNetfeat()
        self.fc1 = nn.Linear(128, 64)
        self.fc2 = nn.Linear(64, k)
        self.bn1 = nn.BatchNorm1d(64)

    def forward(self, x):
        x = F.relu(self.bn1(self.fc1(self.feat(x))))
        x = self.fc2(x)
        return F.log_softmax(x, dim=0)


classifier = PointNetCls(k=4)
optimizer = optim.Adam(classifier.parameters(), lr=0.001, betas=(0.9, 0.999))
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=20, gamma=0.5)

for epoch in range(2):
    for i in range(4):
        points, target = torch.randn(8, 64, 3), torch.randint(0, 4, (8,))
        points = points.transpose(2, 1)
        optimizer.zero_grad()
        classifier = classifier.train()
        pred = classifier(points)
        loss = F.nll_loss(pred, target)
        loss.backward()
        optimizer.step()
        correct = pred.data.max(1)[1].eq(target).sum()
        print("[%d: %d] train loss: %f accuracy: %f" % (epoch, i, loss.item(), correct.item() / 8.0))
    scheduler.step()
