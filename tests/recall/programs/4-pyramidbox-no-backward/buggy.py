import time

import torch
import torch.nn as nn
import torch.optim as optim
import torch.nn.functional as F


class MultiBoxLoss(nn.Module):
    def __init__(self, num_classes):
        super(MultiBoxLoss, self).__init__()
        self.num_classes = num_classes

    def forward(self, predictions, targets):
        loc_data, conf_data = predictions
        loc_t, conf_t = targets
        loss_l = F.smooth_l1_loss(loc_data, loc_t)
        loss_c = F.cross_entropy(conf_data.view(-1, self.num_classes), conf_t.view(-1))
        return loss_l, loss_c


class FaceNet(nn.Module):
    def __init__(self, priors=6):
        super(FaceNet, self).__init__()
        self.priors = priors
        self.base = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.loc = nn.Linear(16, priors * 4)
        self.conf = nn.Linear(16, priors * 2)

    def forward(self, x):
        f = self.base(x)
        return self.loc(f).view(-1, self.priors, 4), self.conf(f).view(-1, self.priors, 2)


net = FaceNet()
optimizer = optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
criterion = MultiBoxLoss(2)


def train(max_iter=20):
    net.train()
    for iteration in range(max_iter):
        images = torch.rand(2, 3, 64, 64)
        targets = (torch.rand(2, 6, 4), torch.randint(0, 2, (2, 6)))
        t0 = time.time()
        out = net(images)
        optimizer.zero_grad()
        loss_l, loss_c = criterion(out, targets)
        loss = loss_l + loss_c
        optimizer.step()
        t1 = time.time()
        if iteration % 10 == 0:
            print("iter %d || Loss: %.4f || timer: %.4f sec." % (iteration, loss.item(), t1 - t0))


if __name__ == "__main__":
    train()
