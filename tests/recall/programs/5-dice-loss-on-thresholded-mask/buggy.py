import torch
import torch.nn as nn


def _threshold(x, threshold=None):
    if threshold is not None:
        return (x > threshold).type(x.dtype)
    return x


def f_score(pr, gt, beta=1, eps=1e-7, threshold=None):
    pr = _threshold(pr, threshold=threshold)
    tp = torch.sum(gt * pr)
    fp = torch.sum(pr) - tp
    fn = torch.sum(gt) - tp
    return ((1 + beta**2) * tp + eps) / ((1 + beta**2) * tp + beta**2 * fn + fp + eps)


class DiceLoss(nn.Module):
    def __init__(self, eps=1.0, beta=1.0, threshold=None):
        super().__init__()
        self.eps, self.beta, self.threshold = eps, beta, threshold

    def forward(self, y_pr, y_gt):
        y_pr = torch.sigmoid(y_pr)
        score = f_score(y_pr, y_gt, beta=self.beta, eps=self.eps, threshold=self.threshold)
        return 1 - score


class TrainEpoch:
    def __init__(self, model, loss, optimizer, device="cpu"):
        self.model = model.to(device)
        self.loss = loss.to(device)
        self.optimizer = optimizer
        self.device = device

    def batch_update(self, x, y):
        self.optimizer.zero_grad()
        prediction = self.model(x)
        loss = self.loss(prediction, y)
        loss.backward()
        self.optimizer.step()
        return loss, prediction

    def run(self, dataloader):
        self.model.train()
        for x, y in dataloader:
            loss, _ = self.batch_update(x.to(self.device), y.to(self.device))
        return loss.item()


model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1))
optimizer = torch.optim.Adam([dict(params=model.parameters(), lr=0.0001)])
train_epoch = TrainEpoch(model, DiceLoss(threshold=0.5), optimizer)
loader = [(torch.rand(2, 3, 16, 16), (torch.rand(2, 1, 16, 16) > 0.5).float()) for _ in range(4)]
for i in range(3):
    print("Epoch:", i, train_epoch.run(loader))
