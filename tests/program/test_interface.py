"""What of another file an analysis can see: an edit of anything else leaves its findings, and costs none."""

from __future__ import annotations

import pytest

from gradsense.config import Settings
from gradsense.engine import analyse, still_hold
from gradsense.snapshot import ModuleSource, Question, Snapshot, SourceFile

TRAIN = """import torch
from models import Net

net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for x, y in [(torch.randn(4, 2), torch.randn(4, 1))]:
    loss = (net(x) - y).pow(2).mean()
    loss.backward()
    optimizer.step()
"""
MODELS = """import torch
from torch import nn
from layers import block

SIZE = 2


def plot(values):
    print(values)


class Other(nn.Module):
    lr: float = 0.1

    def forward(self, x):
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = block(SIZE)

    def forward(self, x):
        return self.fc(x)
"""
LAYERS = """from torch import nn


def block(size):
    return nn.Linear(size, 1)


def unused(size):
    return nn.Linear(size, size)
"""
FILES = {"models": MODELS, "layers": LAYERS}


def snapshot(files: dict[str, str], train: str = TRAIN) -> Snapshot:
    answers: dict[Question, SourceFile] = {
        ModuleSource("models", "/p/train.py"): SourceFile("/p/models.py", files["models"]),
        ModuleSource("layers", "/p/models.py"): SourceFile("/p/layers.py", files["layers"]),
    }
    return Snapshot("/p/train.py", train, Settings(), answers)


def holds(file: str, old: str, new: str) -> bool:
    before = snapshot(FILES)
    assert old in FILES[file]
    now = snapshot({**FILES, file: FILES[file].replace(old, new)})
    findings = analyse(before).findings
    held = still_hold(findings, before, now)
    if held:
        assert analyse(now).findings == findings
    return held


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("models", "print(values)", "print(values, values)"),
        ("models", "        return x\n", "        return x * 2\n"),
        ("models", "lr: float = 0.1", "lr: float = 0.2"),
        ("layers", "nn.Linear(size, size)", "nn.Linear(size, 3)"),
    ],
)
def test_what_nothing_mentions_may_change(file: str, old: str, new: str) -> None:
    assert holds(file, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("models", "SIZE = 2", "SIZE = 3"),
        ("models", "return self.fc(x)", "return self.fc(x).detach()"),
        ("models", "def plot(values):", "def optimizer(values):"),
        ("models", "    print(values)", "    print(values"),
        ("models", "print(values)", "print(values, SIZE)"),
        ("models", "lr: float = 0.1", "lr: float = register()"),
        ("models", "class Other", "@register\nclass Other"),
        ("models", "def plot(values):", "def plot(values=make()):"),
        ("models", "from layers import block", "from layers import unused as block"),
        ("layers", "nn.Linear(size, 1)", "nn.Linear(size, 2)"),
    ],
)
def test_what_may_be_seen_may_not(file: str, old: str, new: str) -> None:
    assert not holds(file, old, new)


def test_what_is_in_the_snapshot_itself_may_not_change() -> None:
    before = snapshot(FILES)
    assert still_hold((), before, snapshot(FILES))
    assert not still_hold((), before, snapshot(FILES, TRAIN + "\n"))
    assert not still_hold((), before, Snapshot("/p/train.py", TRAIN, Settings(frozenset({"GS101"})), before.answers))
    gone = dict.fromkeys(before.answers)
    assert not still_hold((), before, Snapshot("/p/train.py", TRAIN, Settings(), gone))
    assert not still_hold((), before, Snapshot("/p/train.py", TRAIN, Settings(), {}))


def test_a_place_in_another_file_must_be_found_again() -> None:
    train = TRAIN.replace("    loss.backward()", "    loss = loss.detach()\n    loss.backward()")
    models = MODELS.replace("return self.fc(x)", "return self.fc(x).detach()")
    before = snapshot({**FILES, "models": models}, train)
    found = analyse(before).findings
    related = [related for finding in found for related in finding.related if related.path == "/p/models.py"]
    now = snapshot({**FILES, "models": models.replace("print(values)", "print(values, values)")}, train)
    assert still_hold(found, before, now) == (not related)


def test_examples_that_hold_are_found_alike() -> None:
    """Whatever single line of another file is left out: where the findings are said to hold, they do."""
    before = snapshot(FILES)
    findings = analyse(before).findings
    held = 0
    for file, text in FILES.items():
        lines = text.splitlines(keepends=True)
        for number in range(len(lines)):
            now = snapshot({**FILES, file: "".join(lines[:number] + lines[number + 1 :])})
            if still_hold(findings, before, now):
                held += 1
                assert analyse(now).findings == findings
    assert held
