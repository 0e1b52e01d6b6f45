import torch
import torch.optim as optim
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class CondRefineNet(nn.Module):
    def __init__(self, channels=3, ngf=64):
        super().__init__()
        self.begin = nn.Conv2d(channels, ngf, 3, padding=1)
        self.norm = nn.BatchNorm2d(ngf)
        self.end = nn.Conv2d(ngf, channels, 3, padding=1)

    def forward(self, x):
        return self.end(torch.relu(self.norm(self.begin(x))))


def dsm(score, x, sigma=0.1):
    noise = torch.randn_like(x) * sigma
    target = -noise / sigma**2
    out = score(x + noise)
    return 0.5 * ((out - target) ** 2).flatten(1).sum(-1).mean()


class AnnealRunner:
    def __init__(self, args, config):
        self.args = args
        self.config = config

    def train(self):
        images = torch.rand(512, 3, 32, 32)
        loader = DataLoader(TensorDataset(images), batch_size=128, shuffle=True)
        test_iter = iter(DataLoader(TensorDataset(images[:256]), batch_size=128))
        score = CondRefineNet()
        score.train()
        optimizer = optim.Adam(score.parameters(), lr=self.config.lr)
        step = 0
        for epoch in range(self.config.n_epochs):
            for i, (X,) in enumerate(loader):
                step += 1
                score.train()
                loss = dsm(score, X)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

                if step >= self.config.n_iters:
                    return

                if step % 100 == 0:
                    score.eval()
                    try:
                        (test_X,) = next(test_iter)
                    except StopIteration:
                        test_iter = iter(DataLoader(TensorDataset(images[:256]), batch_size=128))
                        (test_X,) = next(test_iter)
                    with torch.no_grad():
                        test_dsm_loss = dsm(score, test_X)
                    print("step: {}, loss: {}, test: {}".format(step, loss.item(), test_dsm_loss.item()))
