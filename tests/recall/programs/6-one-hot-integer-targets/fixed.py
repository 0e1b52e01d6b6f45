import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class EGraphSage(nn.Module):
    def __init__(self, edge_feat=16, hidden=32, num_classes=5):
        super().__init__()
        self.layer1 = nn.Linear(edge_feat, hidden)
        self.layer2 = nn.Linear(2 * hidden, hidden)
        self.out = nn.Linear(hidden, num_classes)

    def forward(self, edges):
        h = F.relu(self.layer1(edges))
        neigh = h.mean(0, keepdim=True).expand_as(h)
        return self.out(F.relu(self.layer2(torch.cat([h, neigh], dim=1))))


def fit(args):
    torch.manual_seed(0)
    edges, raw = torch.randn(512, 16), torch.randint(0, args.classes, (512,))
    label = F.one_hot(raw, num_classes=args.classes).float()
    model = EGraphSage(num_classes=args.classes)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        perm = torch.randperm(len(edges))
        for batch in range(0, len(edges), args.batch_size):
            idx = perm[batch : batch + args.batch_size]
            optimizer.zero_grad()
            output = model(edges[idx])
            loss_train = loss_fn(output, label[idx])
            loss_train.backward()
            optimizer.step()
            acc = (output.argmax(1) == raw[idx]).float().mean()
        print("epoch: {} loss_train: {:.4f} acc_train: {:.4f}".format(epoch, loss_train.item(), acc.item()))


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--lr", type=float, default=0.003)
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--batch_size", type=int, default=128)
    p.add_argument("--classes", type=int, default=5)
    fit(p.parse_args())
