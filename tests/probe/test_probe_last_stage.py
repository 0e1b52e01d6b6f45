"""The last stage adds to what is known; it takes nothing from it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gradsense.probe.client import run_probe
from gradsense.probe.plan import ProbeOptions, ProbeTarget, plan_probe

from .forked import PYTHON


def test_what_is_measured_is_told_where_the_last_checks_take_too_long(tmp_path: Path) -> None:
    text = """\
import time

import torch
from torch import nn


class Slow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        while x.dtype == torch.float64:  # as in the finite differences
            time.sleep(1)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return Slow.apply(self.layer(x))
"""
    path = tmp_path / "net.py"
    path.write_text(text, encoding="utf-8")
    plan = plan_probe(ProbeTarget(path, text, "Net"), ProbeOptions(5.0), tmp_path)
    report = asyncio.run(run_probe(plan, PYTHON, lambda words: None))
    assert report.error is None
    assert all(each.learns for each in report.parameters)
    assert "Not checked: gradients and samples, since that takes longer than 5 s." in report.notes
