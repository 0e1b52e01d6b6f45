import argparse

import numpy as np
import torch
import torch.nn.functional as F
import torch.optim as optim
from torch import nn


class GAT(nn.Module):
    def __init__(self, nfeat, nhid, nclass, dropout):
        super(GAT, self).__init__()
        self.dropout = dropout
        self.grup = nn.GRU(nfeat, nhid, batch_first=True)
        self.attn = nn.Linear(2 * nhid, 1)
        self.out = nn.Linear(nhid, nclass)

    def forward(self, price, adj):
        h = self.grup(price)[1][0]
        n = h.size(0)
        pairs = torch.cat([h.repeat(1, n).view(n * n, -1), h.repeat(n, 1)], dim=1).view(n, n, -1)
        e = F.leaky_relu(self.attn(pairs).squeeze(2)).masked_fill(adj == 0, -9e15)
        att = F.dropout(F.softmax(e, dim=1), self.dropout, training=self.training)
        return self.out(F.elu(att @ h))


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--lr", type=float, default=5e-4)
parser.add_argument("--dropout", type=float, default=0.38)
args = parser.parse_args()

np.random.seed(14)
torch.manual_seed(14)
stock_num = 12
adj = (torch.rand(stock_num, stock_num) > 0.5).float() + torch.eye(stock_num)
model = GAT(nfeat=3, nhid=32, nclass=2, dropout=args.dropout)
optimizer = optim.Adam(model.parameters(), lr=args.lr, weight_decay=5e-5)


def train(epoch):
    model.train()
    optimizer.zero_grad()
    price, labels = torch.randn(stock_num, 5, 3), torch.randint(0, 2, (stock_num,))
    output = F.log_softmax(model(price, adj), dim=1)
    loss_train = F.nll_loss(output, labels)
    acc_train = (output.max(1)[1] == labels).float().mean()
    loss_train.backward()
    optimizer.step()
    print("Epoch: {:04d} loss_train: {:.4f} acc_train: {:.4f}".format(epoch + 1, loss_train.item(), acc_train.item()))


for epoch in range(args.epochs):
    train(epoch)
