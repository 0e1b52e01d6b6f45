"""The cache: a second run is quick, and says what one without it would say, whatever has changed meanwhile."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gradsense.batch import engines
from gradsense.cli.main import main
from gradsense.program import reuse
from gradsense.workspace import solve
from tests.cli.conftest import Result, Run
from tests.workspace.folders import make_environment, write_files

MODEL = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = {layers}

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
"""
TRAIN = """\
import torch
from models.net import Net
from helpers import clear

net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for x in torch.randn(8, 4, 4):
    net(x).sum().backward()
    clear(optimizer)
    optimizer.step()
"""
LIGHTNING = """\
import lightning as L


class Module(L.LightningModule):
    def training_epoch_end(self, outputs):
        pass

    def training_step(self, batch, batch_idx):
        return self.layer(batch).sum()
"""
STEPS = """\
import torch


def validate(model, loader):
    model.eval()
    with torch.no_grad():
        for x in loader:
            model(x)


def train(model, loader, optimizer):
    for x in loader:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
"""
LOOP = """\
import torch
from torch import nn
from steps import train, validate

model = nn.Sequential(nn.Linear(4, 4), nn.Dropout())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = torch.utils.data.DataLoader([])
for _ in range(3):
    train(model, loader, optimizer)
    validate(model, loader)
"""
VARIANTS = {
    "steps.py": [STEPS, STEPS.replace("        optimizer.zero_grad()\n", "")],
    "loop.py": [
        LOOP,
        LOOP.replace("    train(", "    model.train()\n    train("),
        LOOP.replace("from steps", "from other.steps"),
        "",
    ],
    "models/net.py": [MODEL.format(layers=each) for each in ("[nn.Linear(4, 4)]", "nn.ModuleList([nn.Linear(4, 4)])")],
    "helpers.py": ["def clear(optimizer):\n    optimizer.zero_grad()\n", "def clear(optimizer):\n    pass\n", ""],
    "models/__init__.py": ["", "from models.net import Net\n"],
    "train.py": [
        TRAIN,
        TRAIN.replace("Net()", "Net()  # gradsense: ignore[GS401]"),
        TRAIN.replace("    clear", "    # clear"),
    ],
    "module.py": [LIGHTNING, LIGHTNING.replace("L.LightningModule", "zoo.Base").replace("as L", "as L\nimport zoo")],
    "requirements.txt": ["lightning==1.9.5\n", "lightning==2.4.0\n", "numpy\n"],
    "gradsense.toml": ["", 'ignore = ["GS2"]\n', "[per-file-ignores]\n'*.py' = ['GS4']\n"],
    ".venv/lib/python3.11/site-packages/zoo.py": [
        "from lightning import LightningModule\nclass Base(LightningModule): pass\n",
        "class Base: pass\n",
    ],
}


@pytest.fixture
def project(folder: Path) -> Path:
    packages = make_environment(folder / ".venv", {"torch": "2.13.0", "lightning": "2.4.0"})
    write_files(packages, {"lightning/__init__.py": "class LightningModule: pass\n"})
    return write_files(folder, {name: texts[0] for name, texts in VARIANTS.items()})


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "folder"


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: Path) -> Run:
    """The command on the real engine, in this process."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("GRADSENSE_CACHE_DIR", str(cache))

    def run(*arguments: str) -> Result:
        code = main(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def analysed(result: Result) -> int:
    """How many files were analysed, as `--verbose` tells."""
    return int(result.err.rpartition(" are as they were, ")[2].partition(" analysed")[0])


def test_a_second_run_analyses_nothing(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("check")
    assert first.code == 1
    monkeypatch.setattr(solve, "analyse", None)  # would fail if it were called
    assert run("check") == first
    assert analysed(run("check", "--verbose")) == 0


def test_what_was_too_much_to_follow_is_told_again(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "_BUDGETS", (3,))
    write_files(folder, {"train.py": "import torch\n\ndef train(optimizer):\n" + "    optimizer.step()\n" * 5})
    told = "train.py: `train` would take too many steps to follow, so most rules say nothing of it.\n"
    assert told in run("check", "--verbose", "--jobs", "1").err
    again = run("check", "--verbose", "--jobs", "1")
    assert analysed(again) == 0
    assert told in again.err
    assert told not in run("check", "--jobs", "1").err


def test_only_what_depends_on_an_edit_is_analysed_again(run: Run, project: Path) -> None:
    run("check")
    write_files(project, {"helpers.py": VARIANTS["helpers.py"][1]})
    again = run("check", "--verbose")
    assert analysed(again) == 1  # train.py, which calls it; helpers.py itself has nothing to do with training any more
    assert again.out == run("check", "--no-cache").out


def test_what_calls_a_file_counts(run: Run, project: Path) -> None:
    assert "steps.py:5:5: warning[GS701]" in run("check", "--format", "concise").out
    write_files(project, {"loop.py": VARIANTS["loop.py"][1]})
    again = run("check", "--format", "concise", "--verbose")
    assert analysed(again) == 2
    assert "GS701" not in again.out
    write_files(project, {"loop.py": "", "models/loop.py": LOOP})
    again = run("check", "--format", "concise", "--verbose")
    assert analysed(again) == 2
    assert "steps.py:5:5: warning[GS701]" in again.out


def test_another_checkout_finds_the_same(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("check", "--format", "concise")
    other = project.rename(project.with_name("elsewhere"))
    monkeypatch.chdir(other)
    again = run("check", "--format", "concise", "--verbose")
    assert again.out == first.out
    # What comes from installed packages lies elsewhere now.
    assert analysed(again) <= 1


def test_it_never_changes_what_is_found(run: Run, project: Path) -> None:
    """Whatever is edited, in whatever order, and back again."""
    seed = random.Random(6)
    for _ in range(20):
        name = seed.choice(sorted(VARIANTS))
        write_files(project, {name: seed.choice(VARIANTS[name])})
        options = ["--select", "ALL"] if seed.random() < 0.2 else []
        assert run("check", "--format", "json", *options) == run("check", "--format", "json", "--no-cache", *options)


@pytest.mark.parametrize("damage", ["broken", "a file"])
def test_a_cache_that_is_of_no_use_is_survived(run: Run, project: Path, cache: Path, damage: str) -> None:
    expected = run("check", "--no-cache")
    if damage == "a file":
        cache.write_bytes(b"")
    else:
        run("check")
        for path in cache.rglob("*.json"):
            path.write_bytes(b"\x00" * 50)
    assert run("check") == expected
    assert ("the cache in" in run("check", "--verbose").err) is (damage == "a file")


def test_nothing_is_kept_where_that_is_not_wanted(run: Run, project: Path, cache: Path) -> None:
    before = sorted(project.rglob("*"))
    run("check", "--no-cache")
    assert not (cache / "outcomes").exists()
    run("check")
    assert (cache / "outcomes").exists()
    assert sorted(project.rglob("*")) == before


def test_its_folder_can_be_chosen(
    run: Run, project: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chosen = tmp_path_factory.mktemp("chosen")
    run("check", "--cache-dir", str(chosen))
    assert (chosen / "outcomes").exists()
    assert not cache.exists()


def test_fixes_are_made_as_without_it(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "WORTH_A_WORKER", 10**9)
    run("check")
    run("check", "--fix", "--unsafe-fixes")
    fixed = {name: (project / name).read_text() for name in VARIANTS if name.endswith(".py")}
    after = run("check")
    assert after.out == run("check", "--no-cache").out
    write_files(project, {name: texts[0] for name, texts in VARIANTS.items()})
    run("check", "--fix", "--unsafe-fixes", "--no-cache")
    assert {name: (project / name).read_text() for name in fixed} == fixed
