import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class FaceNet(nn.Module):
    def __init__(self, dim=64):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.PReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.fc = nn.Linear(64, dim)

    def forward(self, x):
        return self.fc(self.features(x))


class FocalLoss(nn.Module):
    def __init__(self, gamma=2):
        super().__init__()
        self.gamma = gamma
        self.ce = nn.CrossEntropyLoss()

    def forward(self, input, target):
        logp = self.ce(input, target)
        p = torch.exp(-logp)
        return ((1 - p) ** self.gamma * logp).mean()


if __name__ == "__main__":
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = FaceNet().to(device)
    metric_fc = nn.Linear(64, 10).to(device)
    criterion = FocalLoss(gamma=2)
    optimizer = torch.optim.SGD(
        [{"params": model.parameters()}, {"params": metric_fc.parameters()}], lr=1e-1, weight_decay=5e-4
    )

    for i in range(2):
        model.train()
        for ii in range(10):
            data_input = torch.rand(8, 1, 32, 32).to(device)
            label = torch.randint(0, 10, (8,)).to(device)
            feature = model(data_input)
            output = metric_fc(feature).detach()
            loss = criterion(output, label)
            optimizer.zero_grad()
            loss.requires_grad = True
            loss.backward()
            optimizer.step()

            if ii % 5 == 0:
                output = np.argmax(output.cpu().numpy(), axis=1)
                acc = np.mean((output == label.cpu().numpy()).astype(int))
                print("train epoch {} iter {} loss {} acc {}".format(i, ii, loss.item(), acc))
