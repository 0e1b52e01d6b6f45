# probe: PointNetCls
import torch
import torch.nn as nn
import torch.nn.functional as F


class STN3d(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(3, 8, 1)
        self.fc = nn.Linear(8, 9)
        self.bn1 = nn.BatchNorm1d(8)

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x))).max(2)[0]
        return self.fc(h).view(-1, 3, 3) + torch.eye(3, device=x.device)


class PointNetCls(nn.Module):
    def __init__(self, k=4):
        super().__init__()
        self.stn = STN3d()
        self.conv1 = nn.Conv1d(3, 16, 1)
        self.bn1 = nn.BatchNorm1d(16)
        self.fc1 = nn.Linear(16, k)

    def forward(self, x):
        trans = self.stn(x)
        x = torch.bmm(x.transpose(2, 1), trans).transpose(2, 1)
        x = torch.max(F.relu(self.bn1(self.conv1(x))), 2, keepdim=True)[0]
        return F.log_softmax(self.fc1(x.view(-1, 16)), dim=1), trans
