import torch
import torch.nn as nn
import torch.optim as optim


class SignFunction(torch.autograd.Function):
    """Stochastic binarisation with a straight-through gradient."""

    @staticmethod
    def forward(ctx, input, is_training=True):
        if is_training:
            prob = input.new(input.size()).uniform_()
            x = input.clone()
            x[(1 - input) / 2 <= prob] = 1
            x[(1 - input) / 2 > prob] = -1
            return x
        return input.sign()

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output


class Sign(nn.Module):
    def forward(self, x):
        return SignFunction.apply(x, self.training)


class Binarizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 1), nn.Tanh())
        self.sign = Sign()
        self.dec = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2), nn.Tanh())

    def forward(self, x):
        return self.dec(self.sign(self.enc(x))) / 2


def train(epochs=2):
    net = Binarizer()
    solver = optim.Adam(net.parameters(), lr=0.0005)
    for epoch in range(epochs):
        for _ in range(4):
            patches = torch.rand(4, 3, 16, 16) - 0.5
            solver.zero_grad()
            loss = (patches - net(patches)).abs().mean()
            loss.backward()
            solver.step()
        print("[TRAIN] Epoch[{}] Loss: {:.6f}".format(epoch, loss.item()))


if __name__ == "__main__":
    train()
