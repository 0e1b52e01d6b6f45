# probe: Net, script
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Output:
    logits: torch.Tensor
    hidden: torch.Tensor
    loss: torch.Tensor | None = None


class Net(nn.Module):
    def __init__(self, n_in=6, n_out=3):
        super().__init__()
        self.encoder = nn.Linear(n_in, 12)
        self.classifier = nn.Linear(12, n_out)

    def forward(self, x, labels=None) -> Output:
        hidden = torch.tanh(self.encoder(x))
        logits = self.classifier(hidden)
        loss = nn.functional.cross_entropy(logits, labels) if labels is not None else None
        return Output(logits, hidden, loss)


if __name__ == "__main__":
    net = Net()
    opt = torch.optim.NAdam(net.parameters())
    for _ in range(10):
        out = net(torch.randn(16, 6), labels=torch.randint(0, 3, (16,)))
        opt.zero_grad()
        out.loss.backward()
        opt.step()
