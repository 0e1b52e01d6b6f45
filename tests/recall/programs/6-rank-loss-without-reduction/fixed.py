import torch
import torch.nn as nn
import torch.nn.functional as F


class RankLoss(nn.Module):
    def __init__(self, margin=0.05):
        super().__init__()
        self.margin = margin

    def forward(self, scores1, scores2, target):
        ps1 = F.softmax(scores1, dim=1).gather(1, target.view(-1, 1)).squeeze(1)
        ps2 = F.softmax(scores2, dim=1).gather(1, target.view(-1, 1)).squeeze(1)
        return torch.clamp(ps1 - ps2 + self.margin, min=0).mean()


class RACNN(nn.Module):
    def __init__(self, num_classes=6):
        super().__init__()
        self.features = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()) for _ in range(2)])
        self.classifiers = nn.ModuleList([nn.Linear(8, num_classes) for _ in range(2)])

    def forward(self, x):
        scores = []
        for features, classifier in zip(self.features, self.classifiers):
            scores.append(classifier(features(x).mean((2, 3))))
            x = F.interpolate(x[:, :, 4:-4, 4:-4], size=x.shape[-2:])
        return scores


class Manager:
    def __init__(self, model, batch_size=32):
        self.model = model
        self.batch_size = batch_size
        self.criterion_rank = RankLoss()

    def do_batch(self, optimizer, batch, label):
        scores = self.model(batch)
        optimizer.zero_grad()
        loss = self.criterion_rank(scores[0], scores[1], label)
        loss.backward()
        optimizer.step()
        return loss

    def train(self, epochs):
        optimizer = torch.optim.SGD(self.model.parameters(), lr=0.001, momentum=0.9)
        self.model.train()
        for epoch_idx in range(epochs):
            for _ in range(3):
                loss = self.do_batch(optimizer, torch.rand(self.batch_size, 3, 24, 24), torch.randint(0, 6, (self.batch_size,)))
            print("Epoch: %d %.4f" % (epoch_idx, loss.mean().item()))


if __name__ == "__main__":
    Manager(RACNN()).train(2)
