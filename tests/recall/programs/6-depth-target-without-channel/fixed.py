import torch
import torch.nn as nn
import torch.nn.functional as F


class DepthBranch(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv2d(3, 16, 3, padding=1)
        self.saliency = nn.Conv2d(16, 2, 1)
        self.depth = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, x):
        h = F.relu(self.encoder(x))
        return self.saliency(h), self.depth(h)


class Trainer(object):
    def __init__(self, model, optimizer, max_iter):
        self.model = model
        self.optimizer = optimizer
        self.max_iter = max_iter

    def load(self):
        sal_image = torch.rand(2, 3, 32, 32)
        depth = torch.rand(2, 32, 32)
        sal_label = torch.randint(0, 2, (2, 32, 32))
        return sal_image, depth, sal_label

    def train_epoch(self):
        self.model.train()
        for iteration in range(self.max_iter):
            sal_image, depth, sal_label = self.load()
            depth = depth.unsqueeze(1)
            score, pred_depth = self.model(sal_image)
            loss_sal = F.cross_entropy(score, sal_label)
            loss_depth = F.smooth_l1_loss(pred_depth, depth, reduction="sum")
            loss_all = loss_sal + loss_depth / 1000
            self.optimizer.zero_grad()
            loss_all.backward()
            self.optimizer.step()
            if iteration % 5 == 0:
                print("iter %d loss %.4f" % (iteration, loss_all.item()))


net = DepthBranch()
Trainer(net, torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9), max_iter=10).train_epoch()
