"""What a module defines: made again only where it, or what it names, has changed."""

import textwrap

import pytest

from gradsense.config import Settings
from gradsense.engine import probe_targets, program_of
from gradsense.program.values import ClassValue, FunctionValue
from gradsense.snapshot import Snapshot

FILE = """
import torch
from torch import nn


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)


class Net(Base):
    def forward(self, x):
        return self.body(x)


class Other(nn.Module):
    sizes = [4, 4]

    def forward(self, x):
        return x


@torch.no_grad()
def evaluate(net, x):
    return net(x)


def helper():
    return 3
"""


def _defined(text: str) -> dict[str, object]:
    program = program_of(Snapshot("defined.py", textwrap.dedent(text), Settings()))
    program.ensure_runs()
    run, state = program.script
    names = state.frames[run.module_frames["defined.py"]]
    return {name: value for name, value in names.items() if isinstance(value, (ClassValue, FunctionValue))}


def test_what_has_not_changed_is_not_made_again() -> None:
    before, after = _defined(FILE), _defined(FILE.replace("return 3", "return 4"))
    assert before["helper"] is not after["helper"]
    for name in ("Base", "Net", "evaluate"):
        assert before[name] is after[name], name


def test_a_class_is_made_again_with_its_base() -> None:
    before, after = _defined(FILE), _defined(FILE.replace("Linear(4, 4)", "Linear(4, 5)"))
    assert before["Base"] is not after["Base"]
    assert before["Net"] is not after["Net"]
    net = after["Net"]
    assert isinstance(net, ClassValue)
    assert net.bases == (after["Base"],)
    assert net.bases[0] is after["Base"]


def test_a_class_with_a_list_of_its_own_is_made_each_time() -> None:
    before, after = _defined(FILE), _defined(FILE.replace("return 3", "return 4"))
    assert before["Other"] is not after["Other"]


def test_a_redefinition_reads_what_it_replaces() -> None:
    text = """
        from torch import nn


        class Net(nn.Module):
            def first(self):
                return 1


        class Net(Net):
            def second(self):
                return 2
    """
    after = _defined(text)
    edited = _defined(text.replace("return 1", "return 3"))
    bases = [value.bases[0] for value in (after["Net"], edited["Net"]) if isinstance(value, ClassValue)]
    assert bases[0] is not bases[1]


@pytest.mark.parametrize(
    ("root", "kinds"),
    [
        ("Root = nn.Module", ["module"]),
        ("Root = object", []),
        ("if DEBUG:\n    Root = nn.Module\nelse:\n    Root = nn.Module", ["module"]),
    ],
)
def test_a_base_may_have_another_name(root: str, kinds: list[str]) -> None:
    text = f"import torch\nfrom torch import nn\n\nDEBUG = False\n{root}\n\n\nclass Net(Root):\n    pass\n"
    found = probe_targets(Snapshot("renamed.py", text, Settings())).classes
    assert [each.kind for each in found] == kinds


@pytest.mark.parametrize("first", ["lightning.pytorch", "lightning", "pytorch_lightning"])
def test_an_import_may_be_tried(first: str) -> None:
    text = f"""
        import torch

        try:
            import {first} as pl
        except ImportError:
            import pytorch_lightning as pl


        class Net(pl.LightningModule):
            pass
    """
    found = probe_targets(Snapshot("tried.py", textwrap.dedent(text), Settings())).classes
    assert [each.kind for each in found] == ["lightning module"]
