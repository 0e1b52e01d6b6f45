import math

import torch


class MuReNNDirect(torch.nn.Module):
    """One convolution for each octave, on a signal subsampled by halves."""

    def __init__(self, *, J, Q, T, in_channels):
        super().__init__()
        self.J = J
        self.T = T
        self.C = in_channels
        self.conv1d = []
        self.gains = []
        for j in range(J):
            conv = torch.nn.Conv1d(in_channels, in_channels * Q, T, padding="same", groups=in_channels, bias=False)
            torch.nn.init.normal_(conv.weight, std=1 / math.sqrt(T))
            self.conv1d.append(conv)
            self.gains.append(torch.nn.Parameter(torch.ones(1)))

    def forward(self, x):
        outs = []
        for j in range(self.J):
            y = self.conv1d[j](x) * self.gains[j]
            outs.append(torch.log1p(y.abs().mean(dim=-1)))
            x = torch.nn.functional.avg_pool1d(x, 2)
        return torch.cat(outs, dim=1)


class Tagger(torch.nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.frontend = MuReNNDirect(J=6, Q=4, T=32, in_channels=1)
        self.head = torch.nn.Linear(24, n_classes)

    def forward(self, x):
        return self.head(self.frontend(x))


if __name__ == "__main__":
    tagger = Tagger()
    print(sum(p.numel() for p in tagger.parameters()), "parameters")
    opt = torch.optim.AdamW(tagger.parameters(), lr=3e-4)
    crit = torch.nn.CrossEntropyLoss()
    for step in range(1000):
        wav = torch.randn(8, 1, 4096)
        label = torch.randint(0, 10, (8,))
        opt.zero_grad()
        crit(tagger(wav), label).backward()
        opt.step()
