"""Imports of the user's packages: of what `__init__` passes on as much is read as somebody wants, and what they have
brought is kept while they and the files behind them stay the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import pytest

from gradsense.config import Settings
from gradsense.engine import analyse
from gradsense.program import imports as program_imports
from gradsense.program.file import File
from gradsense.snapshot import Answer, ModuleSource, Question, Snapshot, SourceFile

TRAIN = """import torch
{imports}


def train(loader):
    net = {net}()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x in loader:
        net(x).sum().backward()
        optimizer.step()
"""
NET = "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n" + (
    "        self.layers = {layers}\n\n    def forward(self, x):\n        return self.layers(x)\n"
)
GOOD = NET.format(layers="nn.Linear(2, 2)")


def module(question: ModuleSource) -> PurePosixPath:
    """The path that a question is about, without its ending."""
    name = question.module.lstrip(".")
    level = len(question.module) - len(name)
    base = PurePosixPath(question.importer).parent if level else PurePosixPath("/p")
    for _ in range(level - 1):
        base = base.parent
    return base.joinpath(*name.split(".")) if name else base


def answered(snapshot: Snapshot, files: Mapping[str, str]) -> Snapshot:
    """A snapshot with all the answers that its analysis asks for."""
    answers: dict[Question, Answer] = {}
    for _ in range(12):
        snapshot = Snapshot(snapshot.path, snapshot.text, snapshot.settings, dict(answers))
        questions = analyse(snapshot).questions
        if not questions:
            return snapshot
        for question in questions:
            answers[question] = None
            if isinstance(question, ModuleSource):
                at = module(question)
                paths = (f"{at}.py", f"{at}/__init__.py")
                answers[question] = next((SourceFile(path, files[path]) for path in paths if path in files), None)
    raise AssertionError("it goes on asking")


def codes(snapshot: Snapshot) -> list[str]:
    return [finding.code for finding in analyse(snapshot).findings]


def looked_at(snapshot: Snapshot) -> set[str]:
    return {answer.path for answer in snapshot.answers.values() if isinstance(answer, SourceFile)}


def train(imports: str = "from pkg import Net", net: str = "Net", path: str = "/p/train.py") -> Snapshot:
    return Snapshot(path, TRAIN.format(imports=imports, net=net), Settings())


FOUND = ["GS403"]


@pytest.mark.parametrize(
    ("imports", "net", "init"),
    [
        ("from pkg import Net", "Net", "from .net import Net\nfrom .other import Other\n"),
        ("from pkg import Net", "Net", "from .net import (\n    Net,  # this\n)\nfrom .other import Other as It\n"),
        ("import pkg", "pkg.Net", "from .net import Net\nfrom .other import Other\n"),
        ("import pkg as p", "p.Net", "__all__ = ['Net', 'Other']\nfrom .net import Net\nfrom .other import Other\n"),
        (
            "from pkg import Net",
            "Net",
            "if CHECKING:\n    from .net import Net\n    from .other import Other\nelse:\n    NAMES = {0: ['Other']}\n",
        ),
        ("from pkg import Net", "Net", "from .net import *\nfrom . import other\n"),
        (
            "from pkg import Net",
            "Net",
            "try:\n    from .other import Other\nexcept ImportError:\n    pass\nfrom .net import *\n",
        ),
        ("from pkg import net", "net.Net", "from .other import Other\n"),
        ("from pkg.net import Net", "Net", "from .other import Other\n"),
    ],
)
def test_what_nobody_wants_of_a_package_is_not_read(imports: str, net: str, init: str) -> None:
    files = {"/p/pkg/__init__.py": init, "/p/pkg/net.py": GOOD, "/p/pkg/other.py": "from .far import Other\n"}
    snapshot = answered(train(imports, net), files)
    assert codes(snapshot) == FOUND
    assert "/p/pkg/net.py" in looked_at(snapshot)
    assert looked_at(snapshot).isdisjoint({"/p/pkg/other.py", "/p/pkg/far.py"})


@pytest.mark.parametrize(
    "init",
    [
        "from .net import Net\nfrom .other import helper\nhelper(Net)\n",
        "from .net import Net\nfrom .other import helper\n\n\ndef make(net: 'helper'):\n    return net\n",
        "from .net import Net\nfrom .other import helper\nNAME = f'{helper}'\n",
        "from .net import Net\nfrom .other import helper\nNAMES = f'{Net}', helper, 'x'\n",
        'from .net import Net\nfrom .other import helper\nTEXT = f"""{Net}"""\nhelper()\n"""The end."""\n',
    ],
)
def test_what_a_package_uses_itself_is(init: str) -> None:
    files = {"/p/pkg/__init__.py": init, "/p/pkg/net.py": GOOD, "/p/pkg/other.py": "def helper(net): ...\n"}
    assert "/p/pkg/other.py" in looked_at(answered(train(), files))


@pytest.mark.parametrize(
    "first",
    [
        "from pkg import other",
        "import pkg.other",
        "from pkg.other import Other",
        "from pkg import *",
        "import pkg",
    ],
)
@pytest.mark.parametrize("init", ["from .net import Net\n", "from .all import *\n"])
def test_what_is_wanted_later_is_read_then(first: str, init: str) -> None:
    """The package is imported before, by somebody who wants something else of it."""
    files = {
        "/p/pkg/__init__.py": init,
        "/p/pkg/all.py": "from .net import Net\n",
        "/p/pkg/net.py": GOOD,
        "/p/pkg/other.py": "from . import __version__\nOther = 1\n",
        "/p/user.py": f"{first}\n",
    }
    snapshot = answered(train("import user\nfrom pkg import Net"), files)
    assert codes(snapshot) == FOUND


@pytest.mark.parametrize(
    "init", ["from .net import Net\nfrom .other import Other\n", "from .net import *\nfrom .other import *\n"]
)
def test_so_is_what_a_function_imports(init: str) -> None:
    """The function is run from where the script has ended."""
    files = {"/p/pkg/__init__.py": init, "/p/pkg/net.py": GOOD, "/p/pkg/other.py": "class Other: ...\n"}
    text = train("from pkg import Other").text.replace("    net = ", "    from pkg import Net\n    net = ")
    assert codes(answered(Snapshot("/p/local.py", text, Settings()), files)) == FOUND


def test_modules_that_take_all_of_each_other() -> None:
    files = {
        "/p/pkg/__init__.py": "from .a import *\nfrom .net import Net\n",
        "/p/pkg/a.py": "from .b import *\n",
        "/p/pkg/b.py": "from .a import *\n",
    }
    snapshot = answered(train("from pkg import Net, Missing"), files | {"/p/pkg/net.py": GOOD})
    assert codes(snapshot) == FOUND


@pytest.fixture
def run_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The other files whose bodies were run."""
    found: list[str] = []
    run_module = program_imports.run_module

    def noted(run: object, state: object, file: File, **options: object) -> int:
        found.append(file.path)
        return run_module(run, state, file, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(program_imports, "run_module", noted)
    return found


FILES = {
    "/p/pkg/__init__.py": "from .net import Net\n",
    "/p/pkg/net.py": "from .base import nn\n" + GOOD,
    "/p/pkg/base.py": "from torch import nn\n",
}


def test_an_edit_runs_no_import_again(run_again: list[str]) -> None:
    snapshot = answered(train(path="/p/kept.py"), FILES)
    codes(snapshot)
    run_again.clear()
    for edit in ("x = x + 1", "x = x * 2"):
        text = snapshot.text.replace("        net(x)", f"        {edit}\n        net(x)")
        assert codes(Snapshot(snapshot.path, text, snapshot.settings, snapshot.answers)) == FOUND
    assert run_again == []
    text = snapshot.text.replace("import torch\n", "import torch\nimport os\n")
    assert codes(Snapshot(snapshot.path, text, snapshot.settings, snapshot.answers)) == FOUND
    assert run_again


def test_an_edit_of_a_file_behind_an_import_runs_all_of_them(run_again: list[str]) -> None:
    snapshot = answered(train(path="/p/behind.py"), FILES)
    assert codes(snapshot) == FOUND
    run_again.clear()
    files = FILES | {"/p/pkg/net.py": NET.format(layers="[nn.Linear(2, 2)]")}
    changed = answered(train(path="/p/behind.py"), files)
    assert codes(changed) == codes(answered(train(path="/p/other.py"), files)) != FOUND
    assert {"/p/pkg/__init__.py", "/p/pkg/net.py"} <= set(run_again)
    assert codes(snapshot) == FOUND


def test_what_was_asked_is_asked_again() -> None:
    """The questions of an analysis that goes on from what another one had imported are the same."""
    snapshot = answered(train(path="/p/asked.py"), FILES)
    asked = analyse(snapshot).asked
    assert analyse(snapshot).asked == asked
    text = snapshot.text.replace("net(x)", "net(2 * x)")
    assert analyse(Snapshot(snapshot.path, text, snapshot.settings, snapshot.answers)).asked == asked
    fewer = {question: answer for question, answer in snapshot.answers.items() if question.importer == snapshot.path}
    again = analyse(Snapshot(snapshot.path, snapshot.text, snapshot.settings, fewer))
    assert ModuleSource(".net", "/p/pkg/__init__.py") in again.questions


def test_what_a_module_that_was_left_out_may_add_is_not_denied() -> None:
    """A registry that is empty where it is made is filled by modules that nobody wants anything of."""
    files = {
        "/p/pkg/__init__.py": "from .registry import KINDS, PARAMETERS\nfrom .net import Net\n",
        "/p/pkg/registry.py": "KINDS = []\nPARAMETERS = []\n",
        "/p/pkg/net.py": "from .registry import KINDS, PARAMETERS\n" + GOOD + "\n\nKINDS.append(Net)\n",
    }
    assert codes(answered(train("from pkg import KINDS", "KINDS[0]"), files)) == FOUND
    text = train("from pkg import Net, PARAMETERS").text.replace("net.parameters()", "PARAMETERS")
    assert codes(answered(Snapshot("/p/registry.py", text, Settings()), files)) == []


@pytest.mark.parametrize(
    ("init", "net"),
    [
        ("from .net import Net; make = Net\n", "make"),
        ("TEXT = '''a\\''' '''; build = 1  # '''\nfrom .net import Net as N\nbuild = N\n", "build"),
        ("from .other import *\nfrom .net import *\nfrom .far import Y\n", "Net"),
        (
            "try:\n    from .net import Net\n    make = Net\nexcept ImportError:\n    from .net import Net as other\n",
            "make",
        ),
    ],
)
def test_what_stands_beside_an_import_is_told_from_it(init: str, net: str) -> None:
    files = {
        "/p/pkg/__init__.py": init,
        "/p/pkg/net.py": GOOD,
        "/p/pkg/other.py": "Net = None\n",
        "/p/pkg/far.py": "Y = 1\n",
        "/p/user.py": "from pkg import far\nfrom pkg import other\n",
    }
    assert codes(answered(train(f"import user\nfrom pkg import {net}", net), files)) == FOUND


@pytest.mark.parametrize("driver", ["fit", "watch"])
def test_an_inherited_method_of_another_file_is_run_where_it_drives_the_training(driver: str) -> None:
    base = f"from torch import nn\n\n\nclass Base(nn.Module):\n    def {driver}(self, loader):\n"
    base += "        for x in loader:\n            self.learn(x)\n"
    text = (
        "import torch\nfrom torch import nn\nfrom base import Base\n\n\nclass Net(Base):\n    def __init__(self):\n"
        "        super().__init__()\n        self.fc = nn.Linear(2, 1)\n"
        "        self.optimizer = torch.optim.SGD(self.fc.parameters(), lr=0.1)\n\n    def learn(self, x):\n"
        "        self.fc(x).sum().backward()\n        self.optimizer.step()\n"
    )
    snapshot = answered(Snapshot("/p/inherited.py", text, Settings()), {"/p/base.py": base})
    assert codes(snapshot) == FOUND


def test_torch_is_what_a_library_hands_on_whoever_mentions_it() -> None:
    text = (
        "from library import *\nfrom torch import nn\nfrom pkg import Net\n\n\ndef train(loader):\n    net = Net()\n"
        "    for x in loader:\n        net(x).sum().backward()\n"
    )
    files = {"/p/pkg.py": GOOD}
    stepped = "        optimizer.step()\n"
    made = text.replace("Net()\n", "Net()\n    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)\n")
    assert codes(answered(Snapshot("/p/star.py", text, Settings()), files)) == []
    assert codes(answered(Snapshot("/p/star.py", made + stepped, Settings()), files)) == FOUND
    behind = made.replace("from library import *", "from common import *") + stepped
    files["/p/common.py"] = "from library import *\n"
    assert codes(answered(Snapshot("/p/behind.py", behind, Settings()), files)) == FOUND
