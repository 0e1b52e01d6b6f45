import math

import torch
import torch.nn as nn
from torch.autograd import Function


class Adder(Function):
    @staticmethod
    def forward(ctx, W_col, X_col):
        ctx.save_for_backward(W_col, X_col)
        return -(W_col.unsqueeze(2) - X_col.unsqueeze(0)).abs().sum(1)

    @staticmethod
    def backward(ctx, grad_output):
        W_col, X_col = ctx.saved_tensors
        grad_W_col = ((X_col.unsqueeze(0) - W_col.unsqueeze(2)) * grad_output.unsqueeze(1)).sum(2)
        scale = grad_W_col.norm(p=2).clamp(min=1e-12) * math.sqrt(W_col.size(1) * W_col.size(0)) / 5
        grad_W_col = grad_W_col / scale
        grad_X_col = (-(X_col.unsqueeze(0) - W_col.unsqueeze(2)).clamp(-1, 1) * grad_output.unsqueeze(1)).sum(0)
        return grad_W_col


class AdderLinear(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.adder = nn.Parameter(torch.randn(out_features, in_features))
        self.b = nn.Parameter(torch.zeros(out_features))

    def forward(self, x):
        return Adder.apply(self.adder, x.t()).t() + self.b


net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), AdderLinear(32, 5))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


def train(epoch):
    net.train()
    for i in range(10):
        images, labels = torch.randn(16, 20), torch.randint(0, 5, (16,))
        optimizer.zero_grad()
        loss = criterion(net(images), labels)
        loss.backward()
        optimizer.step()
    print("Train - Epoch %d, Loss: %f" % (epoch, loss.item()))


for e in range(2):
    train(e)
