"""A training file of any length, made of the kinds of code that training files are made of."""

from __future__ import annotations

_HEADER = '''"""A synthetic training file for benchmarks."""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

'''

_MODEL = '''

class Encoder{n}(nn.Module):
    """A residual encoder of width {width}."""

    def __init__(self, inputs: int = 16, width: int = {width}, depth: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(depth)])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, {classes})
        self.scale = nn.Parameter(torch.ones(width))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        hidden = F.relu(self.stem(x))
        for block, norm in zip(self.blocks, self.norms):
            update = F.gelu(block(norm(hidden)))
            hidden = hidden + self.dropout(update)
        return hidden * self.scale

    def forward(self, x: torch.Tensor, targets: torch.Tensor | None = None):
        hidden = self.features(x)
        logits = self.head(hidden)
        if targets is None:
            return logits, None
        loss = F.cross_entropy(logits, targets, label_smoothing=0.05)
        penalty = 1e-4 * hidden.pow(2).mean()
        return logits, loss + penalty

    def count(self) -> int:
        total = 0
        for parameter in self.parameters():
            total += parameter.numel()
        return total


def make_loader_{n}(size: int, batch_size: int) -> DataLoader:
    generator = torch.Generator().manual_seed({n})
    inputs = torch.randn(size, 16, generator=generator)
    targets = (inputs.sum(dim=1) > 0).long()
    return DataLoader(TensorDataset(inputs, targets), batch_size=batch_size, shuffle=True)


@torch.no_grad()
def evaluate_{n}(model: nn.Module, loader: DataLoader, device: torch.device) -> float:
    model.eval()
    correct = total = 0
    for inputs, targets in loader:
        inputs, targets = inputs.to(device), targets.to(device)
        logits, _ = model(inputs)
        correct += (logits.argmax(dim=1) == targets).sum().item()
        total += targets.numel()
    model.train()
    return correct / max(total, 1)


def train_{n}(args: argparse.Namespace) -> float:
    device = torch.device("cpu")
    model = Encoder{n}(width=args.width).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)
    train_loader, test_loader = make_loader_{n}(512, 32), make_loader_{n}(128, 32)
    best = 0.0
    for epoch in range(args.epochs):
        running = 0.0
        for step, (inputs, targets) in enumerate(train_loader):
            inputs, targets = inputs.to(device), targets.to(device)
            optimizer.zero_grad()
            _, loss = model(inputs, targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            running += loss.item()
            if step % 50 == 0:
                print(f"epoch {{epoch}} step {{step}} loss {{running / (step + 1):.4f}}")
        scheduler.step()
        best = max(best, evaluate_{n}(model, test_loader, device))
    return best
'''

_MAIN = """

def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--width", type=int, default=64)
    args = parser.parse_args()
    torch.manual_seed(0)
    print(train_0(args))


if __name__ == "__main__":
    main()
"""


def training_file(lines: int) -> str:
    """A file of about `lines` lines: models, loaders, evaluation and training loops, all of them healthy."""
    parts = [_HEADER]
    count = 0
    while sum(part.count("\n") for part in parts) + _MAIN.count("\n") + _MODEL.count("\n") // 2 < lines:
        parts.append(_MODEL.format(n=count, width=32 + 16 * (count % 5), classes=2 + count % 7))
        count += 1
    return "".join(parts) + _MAIN


_STAGE = """
    # Stage {n}.
    stage_{n} = nn.Sequential(nn.Linear(16, {width}), nn.ReLU(), nn.Linear({width}, 2)).to(device)
    optimizer_{n} = torch.optim.SGD(stage_{n}.parameters(), lr=args.lr, momentum=0.9)
    losses_{n} = []
    for epoch in range(args.epochs):
        for inputs, targets in make_loader_0(256, 32):
            inputs, targets = inputs.to(device), targets.to(device)
            optimizer_{n}.zero_grad()
            logits_{n} = stage_{n}(inputs)
            loss_{n} = F.cross_entropy(logits_{n}, targets)
            loss_{n}.backward()
            optimizer_{n}.step()
            losses_{n}.append(loss_{n}.item())
        print(f"stage {n} epoch {{epoch}} loss {{sum(losses_{n}) / len(losses_{n}):.4f}}")
"""


def long_function_file(lines: int) -> str:
    """A file of about `lines` lines, nearly all of them one function: training in many stages, all of them healthy."""
    parts = [_HEADER, _MODEL.format(n=0, width=32, classes=2)]
    parts.append("\n\ndef train_in_stages(args: argparse.Namespace) -> None:\n    device = torch.device('cpu')\n")
    count = 0
    while sum(part.count("\n") for part in parts) + _MAIN.count("\n") < lines:
        parts.append(_STAGE.format(n=count, width=32 + 16 * (count % 5)))
        count += 1
    return "".join(parts) + _MAIN.replace("print(train_0(args))", "train_in_stages(args)")
