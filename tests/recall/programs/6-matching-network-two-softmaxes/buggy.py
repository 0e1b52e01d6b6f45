import torch
import torch.nn as nn
import torch.nn.functional as F


class Classifier(nn.Module):
    def __init__(self, in_dim=64, fc=32):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(in_dim, 64), nn.ReLU(), nn.Linear(64, fc))

    def forward(self, x):
        return self.body(x)


class AttentionalClassify(nn.Module):
    def __init__(self):
        super().__init__()
        self.softmax = nn.Softmax(dim=1)

    def forward(self, similarities):
        return self.softmax(similarities)


class MatchingNetwork(nn.Module):
    def __init__(self, way=5):
        super().__init__()
        self.way = way
        self.g = Classifier()
        self.classify = AttentionalClassify()

    def forward(self, support, target, target_y):
        support_enc = self.g(support)
        target_enc = self.g(target)
        similarities = 10 * F.normalize(target_enc, dim=1) @ F.normalize(support_enc, dim=1).t()
        preds = self.classify(similarities)
        accuracy = (preds.argmax(1) == target_y).float().mean()
        crossentropy_loss = F.cross_entropy(preds, target_y)
        return accuracy, crossentropy_loss


def run_training_epoch(net, optimizer, total_train_batches=20):
    total_loss = 0.0
    for _ in range(total_train_batches):
        support = torch.randn(net.way, 64)
        target_y = torch.randint(0, net.way, (15,))
        target = support[target_y] + 0.3 * torch.randn(15, 64)
        acc, loss = net(support, target, target_y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    return total_loss / total_train_batches, acc.item()


net = MatchingNetwork()
adam = torch.optim.Adam(net.parameters(), lr=1e-3)
for e in range(3):
    print(e, run_training_epoch(net, adam))
