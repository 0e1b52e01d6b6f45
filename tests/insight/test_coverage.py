"""What is said of how many parameters an optimizer holds is what torch counts, or nothing is said."""

from __future__ import annotations

from typing import Any

import pytest

from gradsense.config import Settings
from gradsense.engine import coverage_of
from gradsense.snapshot import Snapshot

PROGRAM = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, n=3):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.c = nn.Parameter(torch.zeros(3))
        {layers}

    def forward(self, x):
        return self.b(self.a(x)) + self.c

net = Net()
{before}
optimizer = torch.optim.Adam({parameters})
"""

TOLD = [
    ("pass", "", "net.parameters()"),
    ("pass", "", "net.a.parameters()"),
    ("pass", "", "[net.c]"),
    ("pass", "", "[{'params': net.a.parameters()}, {'params': net.b.parameters(), 'lr': 1}]"),
    ("pass", "net.a.requires_grad_(False)", "net.b.parameters()"),
    ("pass", "", "filter(lambda p: p.requires_grad, net.parameters())"),
    ("pass", "net.b = nn.Identity()", "net.a.parameters()"),
    ("pass", "net.b = nn.Linear(4, 4, bias=False)", "net.a.parameters()"),
    ("self.d = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4))", "", "net.a.parameters()"),
    ("self.d = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])", "", "net.a.parameters()"),
    ("l = nn.Linear(4, 4); self.d = nn.Sequential(l, l)", "", "net.a.parameters()"),
    ("self.d = nn.ReLU(); self.n = n; self.register_buffer('q', torch.zeros(1))", "", "net.parameters()"),
]
UNTOLD = [
    ("pass", "", "[net.a.weight]"),
    ("pass", "", "[p for n, p in net.named_parameters() if 'a' in n]"),
    ("pass", "net.a.requires_grad_(False)", "(p for p in net.parameters() if p.requires_grad)"),
    ("self.d = nn.ModuleList([nn.Linear(4, 4) for _ in range(n)])", "", "net.a.parameters()"),
    ("self.d = nn.ModuleList([nn.Linear(4, 4)] * 3)", "", "net.a.parameters()"),
    ("self.d = nn.Sequential(*[nn.Linear(4, 4) for _ in range(n)])", "", "net.a.parameters()"),
    ("self.b.weight = self.a.weight", "", "net.a.parameters()"),
    ("self.d = unknown()", "", "net.a.parameters()"),
    ("self.d = nn.TransformerEncoderLayer(4, 2)", "", "net.a.parameters()"),
    ("self.d = nn.utils.weight_norm(nn.Linear(4, 4))", "", "net.a.parameters()"),
    ("for k in range(9): setattr(self, f'x{k}', nn.Linear(4, 4))", "", "net.a.parameters()"),
    ("pass", "net = unknown(net)", "net.parameters()"),
]


def told(case: tuple[str, str, str]) -> list[tuple[int, int]]:
    layers, before, parameters = case
    text = PROGRAM.format(layers=layers, before=before, parameters=parameters)
    return [(each.held, each.of) for each in coverage_of(Snapshot("net.py", text, Settings()))]


@pytest.mark.parametrize("case", TOLD, ids=lambda case: " ".join(case))
def test_what_is_told_is_what_torch_counts(case: tuple[str, str, str]) -> None:
    layers, before, parameters = case
    world: dict[str, Any] = {}
    exec(PROGRAM.format(layers=layers, before=before, parameters=parameters), world)
    held = sum(len(group["params"]) for group in world["optimizer"].param_groups)
    assert told(case) == [(held, len(list(world["net"].parameters())))]


@pytest.mark.parametrize("case", UNTOLD, ids=lambda case: " ".join(case))
def test_what_is_not_exactly_known_is_not_told(case: tuple[str, str, str]) -> None:
    assert told(case) == []


def test_what_one_call_builds_in_several_ways_is_not_told() -> None:
    text = PROGRAM.format(layers="pass", before="", parameters="net.parameters()").replace(
        "optimizer = torch.optim.Adam(net.parameters())",
        "def build(p):\n    return torch.optim.Adam(p)\na = build(net.a.parameters())\nboth = build(net.parameters())",
    )
    assert coverage_of(Snapshot("net.py", text, Settings())) == []
