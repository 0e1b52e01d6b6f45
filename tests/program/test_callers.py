"""What other files do with a file's functions is told in the file itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gradsense.config import Settings
from gradsense.engine import analyse, still_hold
from gradsense.findings import Finding, Safety
from gradsense.program import callers, entries
from gradsense.program.file import File
from gradsense.program.run import Run
from gradsense.program.state import State
from gradsense.snapshot import FileSource, ImportedBy, Snapshot
from gradsense.workspace.outcomes import outcome_of
from gradsense.workspace.session import Session
from tests.workspace.folders import write_files

STEPS = """\
import torch


def train(model, loader, optimizer, criterion):
    for x, y in loader:
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()


def validate(model, loader):
    model.eval()
    with torch.no_grad():
        for x, y in loader:
            model(x)
"""
MAIN = """\
import torch
from torch import nn
from steps import train, validate


def main():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.Linear(3, 2))
    optimizer = torch.optim.Adam(model.parameters())
    loader = torch.utils.data.DataLoader([])
    model.train()
    for epoch in range(10):
        train(model, loader, optimizer, nn.CrossEntropyLoss())
        validate(model, loader)


if __name__ == "__main__":
    main()
"""
HEALTHY = MAIN.replace("        train(", "        model.train()\n        optimizer.zero_grad()\n        train(", 1)


def findings(folder: Path, files: dict[str, str], name: str = "steps.py") -> tuple[Finding, ...]:
    """The findings in one of some files."""
    write_files(folder, files)
    session = Session([folder])
    try:
        return session.solve(Snapshot(str(folder / name), files[name], Settings())).findings
    finally:
        session.close_now()


def codes(folder: Path, files: dict[str, str], name: str = "steps.py") -> list[str]:
    return [finding.code for finding in findings(folder, files, name)]


def test_what_a_caller_does_is_told_where_it_goes_wrong(tmp_path: Path) -> None:
    files = {"steps.py": STEPS, "main.py": MAIN}
    found = {finding.code: finding for finding in findings(tmp_path, files)}
    assert set(found) == {"GS403", "GS701"}
    spans = {code: STEPS[finding.span.start : finding.span.end] for code, finding in found.items()}
    assert spans == {"GS403": "loss.backward()", "GS701": "model.eval()"}
    assert "dropout is off." in found["GS701"].message
    for code, call in (("GS403", "train(model, loader, optimizer"), ("GS701", "validate(model, loader)")):
        called = found[code].related[-1]
        assert called.message == "called from here"
        assert called.path == str(tmp_path / "main.py")
        assert MAIN[called.span.start : called.span.end].startswith(call)
        assert all(fix.safety is Safety.UNSAFE for fix in found[code].fixes)
    assert found["GS403"].fixes


def test_alone_nothing_is_known_of_the_arguments(tmp_path: Path) -> None:
    assert codes(tmp_path, {"steps.py": STEPS}) == []


def test_what_a_file_says_by_itself_keeps_its_fix(tmp_path: Path) -> None:
    steps = STEPS.replace("loss.backward()\n", "loss.backward()\n        optimizer.zero_grad()\n")
    by_itself = findings(tmp_path / "alone", {"steps.py": steps})
    found = {each.code: each for each in findings(tmp_path / "called", {"steps.py": steps, "main.py": MAIN})}
    assert [each.code for each in by_itself] == ["GS401"]
    assert found["GS401"].fixes == by_itself[0].fixes
    assert all(related.path is None for related in found["GS401"].related)


def test_a_line_of_the_caller_that_takes_part_is_shown(tmp_path: Path) -> None:
    steps = "def update(optimizer, loss):\n    loss.backward()\n    optimizer.step()\n"
    main = """\
import torch
from torch import nn
from steps import update

model = nn.Linear(3, 2)
optimizer = torch.optim.Adam(model.parameters())
for x, y in torch.utils.data.DataLoader([]):
    optimizer.zero_grad()
    for part in x:
        update(optimizer, (model(part) - y).pow(2).mean())
"""
    (found,) = findings(tmp_path, {"steps.py": steps, "main.py": main})
    assert found.code == "GS403"
    shown = {related.message: main[related.span.start : related.span.end] for related in found.related if related.path}
    assert shown["cleared outside the loop"] == "optimizer.zero_grad()"


def test_healthy_callers_find_nothing(tmp_path: Path) -> None:
    steps = STEPS.replace("        loss = ", "        optimizer.zero_grad()\n        loss = ")
    assert codes(tmp_path, {"steps.py": steps, "main.py": HEALTHY}) == []


@pytest.mark.parametrize(
    "files",
    [
        {"lib/steps.py": STEPS, "lib/__init__.py": "", "main.py": MAIN.replace("from steps", "from lib.steps")},
        {
            "lib/steps.py": STEPS,
            "lib/__init__.py": "from .steps import *\n",
            "main.py": MAIN.replace("from steps", "from lib"),
        },
        {
            "lib/deep/steps.py": STEPS,
            "lib/deep/__init__.py": "from .steps import train, validate\n",
            "lib/__init__.py": "from .deep import train, validate\n",
            "tools/main.py": MAIN.replace("from steps", "from lib"),
        },
        {
            "steps.py": STEPS,
            "loop.py": "import steps\n\n\ndef fit(model, loader, optimizer, criterion, epochs):\n"
            "    for _ in range(epochs):\n        steps.train(model, loader, optimizer, criterion)\n"
            "        steps.validate(model, loader)\n",
            "main.py": "import torch\nfrom torch import nn\nfrom loop import fit\n\n"
            "model = nn.Sequential(nn.Linear(3, 3), nn.Dropout())\n"
            "optimizer = torch.optim.Adam(model.parameters())\n"
            "fit(model, torch.utils.data.DataLoader([]), optimizer, nn.MSELoss(), 10)\n",
        },
    ],
    ids=["package", "star", "packages", "two files"],
)
def test_however_it_is_imported(tmp_path: Path, files: dict[str, str]) -> None:
    steps = next(name for name in files if name.endswith("steps.py"))
    assert set(codes(tmp_path, files, steps)) == {"GS403", "GS701"}


@pytest.mark.parametrize("name", ["test_main.py", "main_test.py", "tests/main.py", "conftest.py"])
def test_a_test_trains_as_nobody_does(tmp_path: Path, name: str) -> None:
    files = {"steps.py": STEPS, name: MAIN}
    assert codes(tmp_path, files) == []


def test_what_a_script_calls_itself_is_nobody_elses(tmp_path: Path) -> None:
    """A script that others take a function from: it is trained as the script trains it."""
    script = STEPS + MAIN.replace("from steps import train, validate\n", "")
    files = {"steps.py": script, "other.py": MAIN}
    write_files(tmp_path, files)
    analysis = analyse(Snapshot(str(tmp_path / "steps.py"), script, Settings()))
    assert not any(isinstance(question, ImportedBy) for question in analysis.asked)


def test_a_file_that_trains_nothing_asks_nobody() -> None:
    text = "import torch\n\n\ndef scale(x):\n    return x / torch.tensor(2.0)\n"
    assert not any(isinstance(question, ImportedBy) for question in analyse(Snapshot("a.py", text, Settings())).asked)


@pytest.mark.parametrize("script", ["", "main()\n"])
def test_every_change_of_a_caller_counts(tmp_path: Path, script: str) -> None:
    steps = STEPS.replace("        loss = ", "        optimizer.zero_grad()\n        loss = ")
    wrong = MAIN.partition("if __name__")[0] + script
    right = wrong.replace("        validate(model", "    validate(model")  # the same words, behind the loop
    write_files(tmp_path, {"steps.py": steps, "main.py": right})
    session = Session([tmp_path])
    path, main = str(tmp_path / "steps.py"), str(tmp_path / "main.py")
    try:
        last = session.solved(Snapshot(path, steps, Settings()))
        before = Snapshot(path, steps, Settings(), last.answers)
        now = Snapshot(path, steps, Settings(), session.known(last.answers, {main: wrong}))
    finally:
        session.close_now()
    assert FileSource("main.py", path) in last.analysis.asked
    assert last.analysis.findings == ()
    assert still_hold((), before, before)
    assert not still_hold((), before, now)
    assert [finding.code for finding in analyse(now).findings] == ["GS701"]


@pytest.mark.parametrize("script", ["", "main()\n"])
def test_a_change_that_only_a_caller_sees_counts(tmp_path: Path, script: str) -> None:
    main = MAIN.replace("        validate(model, loader)\n", "        validate(model, loader)\n        back(model)\n")
    main = main.replace("from steps", "from modes import back\nfrom steps").partition("if __name__")[0] + script
    write_files(tmp_path, {"steps.py": STEPS, "main.py": main, "modes.py": "def back(model):\n    pass\n"})
    session = Session([tmp_path])
    path, modes = str(tmp_path / "steps.py"), str(tmp_path / "modes.py")
    try:
        last = session.solved(Snapshot(path, STEPS, Settings()))
        before = Snapshot(path, STEPS, Settings(), last.answers)
        changed = session.known(last.answers, {modes: "def back(model):\n    model.train()\n"})
    finally:
        session.close_now()
    now = Snapshot(path, STEPS, Settings(), changed)
    assert {finding.code for finding in last.analysis.findings} == {"GS403", "GS701"}
    assert not still_hold(last.analysis.findings, before, now)
    assert [finding.code for finding in analyse(now).findings] == ["GS403"]


def test_a_caller_is_run_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own analysis finds the run that the files it calls have had made, and the other way round."""
    files = {"steps.py": STEPS, "main.py": MAIN}
    begun: list[str] = []
    run_module = entries.run_module

    def counted(run: Run, state: State, file: File, definitions_only: bool = False) -> int:
        if not definitions_only:
            begun.append(Path(file.path).name)
        return run_module(run, state, file, definitions_only)

    write_files(tmp_path, files)
    session = Session([tmp_path])
    snapshots = [Snapshot(str(tmp_path / name), text, Settings()) for name, text in files.items()]
    try:
        answers = session.solved(snapshots[0]).answers
        monkeypatch.setattr(entries, "run_module", counted)
        for snapshot in (*snapshots, *snapshots):
            analyse(replace(snapshot, answers={**answers, **session.known(answers)}))
    finally:
        session.close_now()
    assert begun == []


def test_a_long_caller_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_MOST_STEPS", 60)
    files = {"steps.py": STEPS, "long.py": MAIN, "short.py": "from steps import validate\n\nvalidate(None, [])\n"}
    assert codes(tmp_path, files) == []
    monkeypatch.setattr(callers, "_MOST_STEPS", 20_000)
    assert set(codes(tmp_path, files)) == {"GS403", "GS701"}


def test_without_callers_it_is_told_that_there_may_be_some(tmp_path: Path) -> None:
    alone = analyse(Snapshot(str(tmp_path / "steps.py"), STEPS, Settings(), callers=False))
    assert (alone.waits, alone.questions) == (True, frozenset())
    silenced = f"# gradsense: ignore-file[GS701]\n{STEPS}"
    files = {"steps.py": silenced, "main.py": MAIN}
    assert codes(tmp_path, files) == ["GS403"]
    write_files(tmp_path, files)
    asked = analyse(Snapshot(str(tmp_path / "steps.py"), silenced, Settings(), callers=False))
    assert asked.findings == (), "what is silenced may be found when the callers are followed"


GUARDED = {
    "a hook": (
        "def clear(optimizer, args, kwargs):\n    optimizer.zero_grad()\n\n\n",
        "    optimizer.register_step_post_hook(clear)\n",
    ),
    "an attribute of the module": (
        "import steps\n\n",
        "    steps.before = lambda optimizer: optimizer.zero_grad()\n",
    ),
}


@pytest.mark.parametrize(("above", "within"), GUARDED.values(), ids=GUARDED.keys())
def test_what_a_caller_does_to_it_counts(tmp_path: Path, above: str, within: str) -> None:
    steps = STEPS.replace("        loss = ", "        before(optimizer)\n        loss = ").replace(
        "def train", "def before(optimizer):\n    pass\n\n\ndef train"
    )
    main = HEALTHY.replace("        optimizer.zero_grad()\n", "")
    assert codes(tmp_path / "without", {"steps.py": steps, "main.py": main}) == ["GS403"]
    guarded = main.replace("def main", f"{above}def main").replace(
        "    model.train()\n", f"{within}    model.train()\n", 1
    )
    assert codes(tmp_path / "with", {"steps.py": steps, "main.py": guarded}) == []


FIT = """\
import torch


def fit(model, loader, lr, before):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for number, x in enumerate(loader):
        before(optimizer, number)
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
"""
WARM = """\
import torch
from steps import fit


def before(optimizer, number):
    {body}


fit(torch.nn.Linear(3, 2), torch.utils.data.DataLoader([]), 0.0, before)
"""


def test_a_word_that_guards_may_stand_in_the_caller(tmp_path: Path) -> None:
    """Who speaks of `param_groups` may set the rate that is 0 at first."""
    guard = "[group.update(lr=number / 100) for group in optimizer.param_groups]"
    for name, body, expected in (("without", "print(number)", ["GS305"]), ("with", guard, [])):
        assert codes(tmp_path / name, {"steps.py": FIT, "main.py": WARM.format(body=body)}) == expected


COMPUTE = """\
import torch


def build(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def compute(model, loader, optimizer):
    for x, y in loader:
        optimizer.zero_grad()
        (model(x) - y).pow(2).mean().backward()
"""
EXPERIMENT = """\
from torch import nn
from steps import build, compute


class Experiment:
    def __init__(self):
        self.model = nn.Linear(3, 2)
        self.optimizer = build(self.model)

    def gather(self, loader):
        compute(self.model, loader, self.optimizer)

    def apply(self):
        self.optimizer.{step}()
"""


def test_what_another_method_of_the_caller_does_counts(tmp_path: Path) -> None:
    for step, expected in (("step", []), ("state_dict", ["GS404"])):
        assert codes(tmp_path / step, {"steps.py": COMPUTE, "main.py": EXPERIMENT.format(step=step)}) == expected


def test_what_callers_refute_is_withdrawn(tmp_path: Path) -> None:
    core = """\
import torch


class Core:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def gather(self, loader):
        for x, y in loader:
            torch.nn.functional.cross_entropy(self.model(x), y).backward()
"""
    app = """\
import torch
from core import Core


class App:
    def __init__(self):
        self.core = Core(torch.nn.Linear(3, 2))

    def on_data(self, loader):
        self.core.gather(loader)

    def on_tick(self):
        self.core.optimizer.step()
        self.core.optimizer.zero_grad()
"""
    assert codes(tmp_path / "alone", {"core.py": core}, "core.py") == ["GS404"]
    assert codes(tmp_path / "called", {"core.py": core, "app.py": app}, "core.py") == []


@pytest.mark.parametrize(
    "init",
    [
        "from .steps import train as fit, validate as check\n",
        "from . import steps\n\nfit, check = steps.train, steps.validate\n",
    ],
)
def test_a_package_may_give_other_names(tmp_path: Path, init: str) -> None:
    main = MAIN.replace("from steps import train, validate", "from lib import check, fit")
    main = main.replace("train(model, loader", "fit(model, loader").replace("validate(model", "check(model")
    files = {"lib/steps.py": STEPS, "lib/__init__.py": init, "main.py": main}
    assert set(codes(tmp_path, files, "lib/steps.py")) == {"GS403", "GS701"}


def test_who_only_imports_calls_nothing(tmp_path: Path) -> None:
    passing = {f"a{number}.py": "from steps import train, validate\n" for number in range(6)}
    assert set(codes(tmp_path, {"steps.py": STEPS, **passing, "main.py": MAIN})) == {"GS403", "GS701"}


@pytest.mark.parametrize("typed", ["    optimizer.zero_gra\n", "    zer\n", "    for x in (\n"])
def test_what_is_being_typed_in_a_caller_waits(tmp_path: Path, typed: str) -> None:
    main = MAIN.replace("        validate(model, loader)\n", f"        validate(model, loader)\n    {typed}")
    assert codes(tmp_path, {"steps.py": STEPS, "main.py": main}) == []


def test_a_text_that_is_not_on_disk_is_what_its_callers_call(tmp_path: Path) -> None:
    """As fixes make it, one after the other."""
    write_files(tmp_path, {"steps.py": STEPS, "main.py": MAIN})
    mended = STEPS.replace("        loss.backward()", "        optimizer.zero_grad()\n        loss.backward()")
    session = Session([tmp_path])
    try:
        for text, codes in ((STEPS, ["GS403"]), (mended, []), (STEPS, ["GS403"])):
            outcome = outcome_of(session, Snapshot(str(tmp_path / "steps.py"), text, Settings()))
            assert [each.code for each in outcome.findings if each.code == "GS403"] == codes
    finally:
        session.close_now()
