"""Whatever a function is called with, by position or name or in no number that is told, the analysis goes on."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from itertools import cycle, islice

import pytest

from gradsense.config import Settings
from gradsense.engine import analyse
from gradsense.snapshot import Snapshot

HEADER = """\
import builtins, contextlib, copy, functools, itertools, operator, torch
from torch import nn

net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
weight = nn.Parameter(torch.randn(3, 2))
x = torch.randn(4, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
xs = [x, x]
options = {"input": x}
loss = net(x).mean()


def f(*args, **keywords):
    return args[0]
"""
ARGUMENTS = (
    *("", "x", "x, x", "x, 0", "0", "'a'", "None", "*xs", "*x, *xs", "**options"),
    *("x, dim=-1", "lambda: x", "f", "f, x", "net", "net, x", "net.parameters()", "weight"),
    *("xs", "options", "optimizer", "x, 1, 2, 3, 4, 5", "()", "iter(xs)", "input=x", "input=x, weight=weight"),
    *("x, weight=weight", "input=x, other=x", "tensors=xs", "self=x", "dim=0"),
    *("outputs=loss, inputs=weight", "parameters=net.parameters(), max_norm=1", "size=(2, 2)", "module=net", "f, xs"),
)
MODULES = """builtins contextlib copy functools itertools operator torch torch.nn torch.nn.functional torch.nn.init
torch.nn.utils torch.optim torch.optim.lr_scheduler torch.autograd torch.utils.data torch.distributions torch.linalg
torch.amp torch.nn.parallel torch.utils.checkpoint torch.optim.swa_utils torch.special""".split()


def functions(module: str) -> list[str]:
    found = importlib.import_module(module)
    return [f"{module}.{name}" for name in dir(found) if not name.startswith("_") and callable(getattr(found, name))]


def calls(names: list[str], arguments: Iterator[str]) -> Iterator[str]:
    for name in names:
        for given in islice(arguments, 5):
            use = "got.mean().backward()\n    net(got[0])"
            yield f"try:\n    got = {name}({given})\n    {use}\nexcept TypeError:\n    pass\n"


@pytest.mark.parametrize("module", MODULES)
def test_functions(module: str) -> None:
    # 36 kinds of arguments, five for each function: from one function to the next others come.
    made = calls(functions(module), cycle(ARGUMENTS))
    while some := "".join(islice(made, 100)):
        analysis = analyse(Snapshot("main.py", f"import {module}\n{HEADER}{some}", Settings()))
        assert analysis.failures == (), some
