"""Constructions and inputs that the user's other files show."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from gradsense.probe.plan import ProbeOptions, ProbeTarget, plan_probe
from gradsense.probe.report import ProbeReport
from gradsense.workspace.session import Session

from .conftest import HEADER, line_of
from .forked import Forked

Workspace = Callable[..., ProbeReport]

NET = HEADER + textwrap.dedent("""
    class Net(nn.Module):
        def __init__(self, width, depth=1):
            super().__init__()
            self.layers = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))

        def forward(self, x):
            return self.layers(x)
    """)
IMAGES = HEADER + textwrap.dedent("""
    class Net(nn.Module):
        def __init__(self, channels=3):
            super().__init__()
            self.layer = nn.Conv2d(channels, 4, 3)

        def forward(self, x):
            return self.layer(x).mean((2, 3))
    """)


@pytest.fixture
def workspace(forked: Forked, tmp_path: Path) -> Workspace:
    """`workspace({name: text, ...})`: the report on `Net` of the first file."""

    def run(files: dict[str, str], qualname: str = "Net") -> ProbeReport:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(textwrap.dedent(text), encoding="utf-8")
        path = tmp_path / next(iter(files))
        session = Session([tmp_path])
        importers = asyncio.run(session.importers_of(path))
        target = ProbeTarget(path, path.read_text(encoding="utf-8"), qualname)
        return forked.report(plan_probe(target, ProbeOptions(60.0), tmp_path).seeing(importers))

    return run


CONSTRUCTED = {
    "a literal": "from models import Net\nmodel = Net(7)  # here\n",
    "under another name": "from models import Net as Model\nmodel = Model(width=7)  # here\n",
    "by its module": "import models as m\nWIDTH = 3 + 4\ndef main():\n    return m.Net(WIDTH)  # here\n",
    "an argument of the command line": """
        import argparse
        from models import Net

        def main():
            parser = argparse.ArgumentParser()
            parser.add_argument("--width", type=int, default=7)
            args = parser.parse_args()
            net = Net(args.width).to("cpu")  # here
            train(net)

        main()
        """,
    "a constant of a third file": "from sizes import WIDTH\nfrom models import Net\nNet(WIDTH)  # here\n",
    "a configuration": """
        from dataclasses import dataclass
        from models import Net

        @dataclass
        class Config:
            width: int = 7

        def build(config: Config) -> Net:
            return Net(config.width)  # here

        if __name__ == "__main__":
            build(Config())
        """,
}


@pytest.mark.parametrize("train", CONSTRUCTED.values(), ids=CONSTRUCTED)
def test_a_construction_in_another_file(workspace: Workspace, train: str) -> None:
    report = workspace({"models.py": NET, "train.py": train, "sizes.py": "WIDTH = 7\nraise RuntimeError\n"})
    assert report.error is None
    assert report.inputs[0].text == "float32 (4, 7)"
    assert report.constructor_source == f"as on train.py:{line_of(textwrap.dedent(train))}"
    assert report.notes == ()
    assert f"\nmodel   {report.constructor}, {report.constructor_source}\n" in report.render_text()


PACKAGED = {
    "a relative import": ("lib/train.py", "from .models import Net\nnet = Net(7)\n"),
    "what the package exports": ("train.py", "from lib import Net\nnet = Net(7)\n"),
    "the package itself": ("train.py", "import lib\nnet = lib.Net(7)\n"),
    "its module": ("train.py", "import lib.models\nnet = lib.models.Net(7)\n"),
    "a module of the package": ("scripts/train.py", "from lib import models\nnet = models.Net(7)\n"),
}


@pytest.mark.parametrize(("name", "train"), PACKAGED.values(), ids=PACKAGED)
def test_a_class_of_a_package(workspace: Workspace, name: str, train: str) -> None:
    files = {"lib/models.py": NET, "lib/__init__.py": "import never_installed\nfrom .models import Net\n", name: train}
    report = workspace(files)
    assert (report.error, report.constructor_source) == (None, f"as on {name}:2")


TESTS = {
    "at once": "from models import Net\ndef test_shape():\n    assert Net(7)(torch.randn(2, 5, 7)).shape  # here\n",
    "by a variable": """
        import torch
        from models import Net

        class TestNet(unittest.TestCase):
            def setUp(self):
                self.width = 7
                self.net = Net(self.width)

            def test_shape(self):
                x = torch.randn(2, 5, self.width)
                self.net.eval()(x)  # here
        """,
    "by fixtures": """
        import pytest
        import torch
        from models import Net

        @pytest.fixture
        def width():
            return 7

        @pytest.fixture
        def net(width):
            yield Net(width)

        @pytest.fixture
        def batch(width):
            return torch.randn(2, 5, width)

        def test_shape(net, batch):
            assert net(batch).shape == batch.shape  # here
        """,
    "by parameters": """
        import pytest
        import torch
        from models import Net

        @pytest.mark.parametrize("width, length", [(7, 5), (8, 6)])
        @pytest.mark.parametrize("depth", [pytest.param(2, id="deep")])
        def test_shape(width, length, depth):
            net = Net(width, depth=depth)
            assert net(x=torch.randn(2, length, width)) is not None  # here
        """,
}


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_what_tests_show(workspace: Workspace, test: str) -> None:
    test = "import torch\n" + textwrap.dedent(test)
    report = workspace({"models.py": NET, "tests/test_models.py": test})
    assert report.error is None
    assert report.constructor_source.startswith("as on tests/test_models.py:")
    [given] = report.inputs
    assert (given.text, given.source) == ("float32 (2, 5, 7)", f"as on tests/test_models.py:{line_of(test)}")


def test_what_is_to_fail_shows_nothing(workspace: Workspace) -> None:
    test = """
        import pytest, torch
        from models import Net

        def test_refused():
            with pytest.raises(RuntimeError):
                Net(5)(torch.randn(2, 6))
            with pytest.raises(ValueError):
                Net(6)

        def test_width():
            net = Net(7)
            with pytest.raises(RuntimeError):
                net(torch.randn(2, 5, 6))
        """
    report = workspace({"models.py": NET, "tests/test_models.py": test})
    assert (report.error, report.constructor) == (None, "Net(7)")
    assert report.inputs[0].source == "synthesised"


def test_a_program_goes_before_a_test(workspace: Workspace) -> None:
    test, train = "from models import Net\nnet = Net(5)\n", "from models import Net\nnet = Net(7)\n"
    report = workspace({"models.py": NET, "test_models.py": test, "train/main.py": train})
    assert report.constructor_source == "as on train/main.py:2"


def test_defaults_go_before_a_test_but_its_inputs_are_taken(workspace: Workspace) -> None:
    test = "import torch\nfrom models import Net\nnet = Net(1)\nNet()(torch.randn(2, 3, 40, 40))\n"
    report = workspace({"models.py": IMAGES, "test_models.py": test})
    assert (report.error, report.constructor) == (None, "Net()")
    assert (report.inputs[0].text, report.inputs[0].source) == ("float32 (2, 3, 40, 40)", "as on test_models.py:4")


def test_another_class_of_the_same_name_shows_nothing(workspace: Workspace) -> None:
    other = "import models\nclass Net:\n    def __init__(self, width): ...\nnet = Net('seven')\n"
    report = workspace({"models.py": NET, "other.py": other})
    assert (report.error, report.constructor_source) == (None, "guessed")


TRAPS = {
    "a file that is written": "open('trap', 'w')",
    "a file that is read": "len(open('sizes.txt').read())",
    "a program": "__import__('os').system('touch trap')",
    "the network": "__import__('socket').create_connection(('127.0.0.1', 1)) and 7",
    "a package": "__import__('unrelated').WIDTH",
    "a long time": "sum(1 for _ in iter(int, 1))",
}


@pytest.mark.parametrize("width", TRAPS.values(), ids=TRAPS)
def test_what_costs_anything_is_left_alone(workspace: Workspace, tmp_path: Path, width: str) -> None:
    train = f"from models import Net\nwidth = {width}\nnet = Net(width)\n"
    unrelated = "open('trap', 'w')\nWIDTH = 7\n"
    files = {"models.py": NET, "train.py": train, "unrelated.py": unrelated, "sizes.txt": "1234567"}
    report = workspace(files)
    assert (report.error, report.constructor_source, report.notes) == (None, "guessed", ())
    assert not (tmp_path / "trap").exists()


def test_the_rest_of_the_file_is_not_run(workspace: Workspace, tmp_path: Path) -> None:
    train = """
        import never_installed
        from models import Net

        open("trap", "w").close()
        net = Net(7)
        never_installed.train(net)
        raise RuntimeError
        """
    report = workspace({"models.py": NET, "train.py": train})
    assert (report.error, report.constructor) == (None, "Net(7)")
    assert not (tmp_path / "trap").exists()


def test_one_that_does_not_fit_into_memory_is_passed_over(workspace: Workspace) -> None:
    report = workspace({"models.py": NET, "train.py": "from models import Net\nnet = Net(100_000)\n"})
    assert (report.error, report.constructor_source) == (None, "guessed")


def test_a_fault_that_the_construction_brings_out(workspace: Workspace) -> None:
    models = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self, width, share):
                super().__init__()
                self.one = nn.Linear(width, width)
                self.two = nn.Linear(width, width) if not share else self.one
                self.three = nn.Linear(width, 2)
                self.share = share

            def forward(self, x, mask):
                x = self.one(x) if self.share else self.two(x)
                return self.three(x * mask)
        """)
    train = """
        import torch
        from torch.nn import functional as F
        from models import Net

        net = Net(7, share=False)
        x, y = torch.randn(32, 7), torch.randint(0, 2, (32,))
        for _ in range(10):
            out = net(x, torch.ones(32, 7))
            F.cross_entropy(out, y).backward()
        """
    report = workspace({"models.py": models, "train.py": train})
    assert report.error is None
    assert report.loss == "cross_entropy as on train.py:10"
    assert {each.name for each in report.parameters if not each.learns} == {"one.weight", "one.bias"}
    assert [each.source for each in report.inputs] == ["as on train.py:9"] * 2


def test_what_is_called_like_a_builtin_is_not_it(workspace: Workspace) -> None:
    train = """
        import torch
        from models import Net

        def loader():
            raise OSError("not here")

        net = Net(7)
        for input, filter in loader():
            net(input)
        """
    report = workspace({"models.py": NET, "train.py": train})
    assert report.error is None
    assert report.inputs[0].text == "float32 (4, 7)"


def test_an_open_document_counts_as_it_is_in_the_editor(tmp_path: Path) -> None:
    models, train = tmp_path / "models.py", tmp_path / "train.py"
    models.write_text(NET, encoding="utf-8")
    train.write_text("from models import Net\nNet(5)\n", encoding="utf-8")
    typed = "from models import Net\nNet(7)\n"
    session = Session([tmp_path])
    assert asyncio.run(session.importers_of(models, {str(train): typed})) == {str(train): typed}
    assert asyncio.run(session.importers_of(models)) == {str(train): train.read_text(encoding="utf-8")}


def test_the_nearest_importers_come_first(tmp_path: Path) -> None:
    text = "import unrelated\nfrom lib.models import Net\n"
    names = ["lib/near.py", "lib/deep/far.py", "app.py", "tests/unit/test_models.py"]
    for name in ["lib/models.py", "lib/__init__.py", "other.py", ".venv/hidden.py", *names]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text if name in names or "hidden" in name else "import os\n", encoding="utf-8")
    found = asyncio.run(Session([tmp_path]).importers_of(tmp_path / "lib" / "models.py"))
    assert list(found) == [str(tmp_path / each) for each in names]
