"""A name that stands in the text once, and that nothing defines, is taken for the beginning of another."""

from __future__ import annotations

import importlib

import pytest

from gradsense.program.knowledge import spelling
from tests.program.seen import program

TRAINING = """
import torch
from torch import nn

model = nn.Linear(4, 1)


def train(x):
    loss = model(x).mean(){rest}
    loss.backward()
"""


@pytest.mark.parametrize(
    ("rest", "is_damaged"),
    [
        ("", False),
        (" + penal", True),
        # It stands in the text twice: defined where the engine doesn't see it.
        (" + penalty + penalty", False),
        (" + len(x) + int(__debug__)", False),
        (" + nn.functional.mse", True),
        (" + nn.functional.mse + nn.functional.mse", True),
        (" + nn.functional.mse_loss(x, x) + nn.MSELoss()(x, x)", False),
        (" + nn.BCEW", True),
        # Of another torch, perhaps.
        (" + nn.NewLoss()(x)", False),
    ],
)
def test_a_name_that_nothing_defines(rest: str, is_damaged: bool) -> None:
    found = program(TRAINING.replace("{rest}", rest))
    assert any(where.unit == "train" and found.is_damaged(where) for where, *_ in found.file.units) == is_damaged


def test_what_a_star_may_have_brought_is_no_slip() -> None:
    found = program("from everything import *\n" + TRAINING.replace("{rest}", " + penal"))
    assert not any(found.is_damaged(where) for where, *_ in found.file.units)


def test_a_name_within_others_counts_as_a_word() -> None:
    file = program("a_b = ab = a1 = 1\nprint(b)\n").file
    assert file.is_half_typed("b")
    assert not file.is_half_typed("a")
    assert file.is_half_typed("a_b")


@pytest.mark.parametrize("module", ["torch.nn", "torch.nn.functional", "torch.optim"])
def test_what_torch_has_is_not_half_typed(module: str) -> None:
    names = [name for name in dir(importlib.import_module(module)) if not name.startswith("_")]
    assert len(names) > 10
    assert not [name for name in names if spelling.is_half_typed(module, name)]
