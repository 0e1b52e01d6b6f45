"""What of the user's file is run to build the model, and what never is."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from gradsense.probe.plan import ProbeOptions

from .conftest import HEADER, Probe

LINEAR = """
class Net(nn.Module):
    def __init__(self, width{default}):
        super().__init__()
        self.layer = nn.Linear(width, 3)

    def forward(self, x):
        return self.layer(x)
"""


def net(code: str, default: str = "") -> str:
    return HEADER + LINEAR.format(default=default) + textwrap.dedent(code)


FOUND = {
    "a literal": ("model = Net(7)\n", "float32 (4, 7)"),
    "a constant": ("WIDTH = 6 + 1\n\ndef main():\n    model = Net(WIDTH)\n", "float32 (4, 7)"),
    "a chain of local values": (
        "def main():\n    sizes = {'in': 3}\n    sizes['in'] += 4\n    model = Net(width=sizes['in'])\n",
        "float32 (4, 7)",
    ),
    "an argument of the caller": (
        "def build(width):\n    return Net(width)\n\nif __name__ == '__main__':\n    build(7)\n",
        "float32 (4, 7)",
    ),
    "an argument of the processes that are started": (
        "import torch.multiprocessing as mp\n\ndef work(rank, width):\n    model = Net(width)\n\n"
        "def main():\n    mp.spawn(work, args=(7,), nprocs=2)\n",
        "float32 (4, 7)",
    ),
    "an argument of a thread": (
        "import threading\n\ndef work(width):\n    model = Net(width)\n\n"
        "def main():\n    threading.Thread(target=work, args=(7,)).start()\n",
        "float32 (4, 7)",
    ),
    "the first round of a loop": (
        "def main():\n    for i, width in enumerate([7, 8]):\n        model = Net(width)\n",
        "float32 (4, 7)",
    ),
    "a default of the command line": (
        """
        import argparse

        def main():
            parser = argparse.ArgumentParser()
            parser.add_argument("--width", type=int, default="7")
            parser.add_argument("data")
            args = parser.parse_args()
            model = Net(args.width)
        """,
        "float32 (4, 7)",
    ),
    "an attribute of an agent": (
        """
        class Agent:
            def __init__(self, width=7):
                self.width = width
                self.policy = Net(self.width)
                self.optimizer = torch.optim.SGD(self.policy.parameters(), lr=0.1)
        """,
        "float32 (4, 7)",
    ),
    "nothing but a name": ("", "float32 (4, 16)"),
}


@pytest.mark.parametrize("name", FOUND)
def test_constructor_arguments(name: str, probe: Probe) -> None:
    code, shape = FOUND[name]
    report = probe(net(code))
    assert report.error is None
    assert [each.text for each in report.inputs] == [shape]


def test_nothing_else_runs(probe: Probe) -> None:
    text = net("""
        import argparse, sys

        sys.exit("top level")
        open("/nowhere/at/all").read()
        if __name__ == "__main__":
            sys.exit("main")
        for step in range(10):
            sys.exit("loop")
        while True:
            pass
        data = open("/nowhere/at/all").read()
        model = Net(7)
        model(torch.randn(3, 7)).sum().backward()
    """)
    assert probe(text).summary() == "all 2 parameters learn"


def test_missing_packages_are_only_missed_where_they_are_used(probe: Probe) -> None:
    start = "import no_such_package as nsp\nfrom no_such.other import Base, decorate\n" + HEADER
    fine = start + textwrap.dedent("""
        class Environment(Base):
            @decorate(limit=3)
            def step(self): ...

        class Net(nn.Module):
            def __init__(self, act=nsp.Activation):
                super().__init__()
                self.layer = nn.Linear(4, 3)

            def forward(self, x):
                return self.layer(x)
    """)
    assert probe(fine).summary() == "all 2 parameters learn"
    used = fine.replace("self.layer = nn.Linear(4, 3)", "self.layer = nsp.models.resnet18()")
    report = probe(used)
    assert report.error == "`Net` needs `no_such_package`, which this interpreter doesn't have. Install it there."


def test_what_cannot_be_built_names_the_argument_and_the_line(probe: Probe) -> None:
    text = net("").replace("width", "zzz").replace("nn.Linear(zzz, 3)", "nn.Linear(zzz.count(), 3)")
    assert probe(text).error == (
        "`Net` needs `zzz`, and the file shows no value. Add above the class: `# gradsense: probe Net(zzz=…)`."
    )


def test_constructor_that_raises(probe: Probe) -> None:
    report = probe(net("model = Net('wide')\n"))
    assert "TypeError" in str(report.error) or report.ok  # small values by name may still do


def test_hints(probe: Probe) -> None:
    hinted = net("").replace("class Net", "# gradsense: probe Net(9)\nclass Net")
    assert [each.text for each in probe(hinted).inputs] == ["float32 (4, 9)"]
    whole = net("").replace("class Net", "# gradsense: probe Net(9)(torch.ones(2, 9))\nclass Net")
    [given] = probe(whole).inputs
    assert (given.text, given.source) == ("float32 (2, 9)", "hint")
    by_configuration = ProbeOptions(60.0, hints={"Net": "Net(...)(torch.ones(2, 16))"})
    assert [each.text for each in probe(net(""), options=by_configuration).inputs] == ["float32 (2, 16)"]


def test_inputs_that_cannot_be_found(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(3, 3)

            def forward(self, recipe):
                return self.layer(recipe.cook()["soup"])
    """)
    report = probe(text)
    assert not report.ok
    assert "`# gradsense: probe Net(...)(recipe)`" in str(report.error)
    assert report.findings == ()


def test_dataclass_configuration(probe: Probe) -> None:
    text = HEADER + textwrap.dedent("""
        from dataclasses import dataclass

        @dataclass
        class Config:
            width: int = 12

        class Net(nn.Module):
            def __init__(self, config: Config):
                super().__init__()
                self.layer = nn.Linear(config.width, 3)

            def forward(self, x):
                return self.layer(x)
    """)
    assert [each.text for each in probe(text).inputs] == ["float32 (4, 12)"]


def test_own_modules_line_is_reported_in_their_file(probe: Probe, tmp_path: object) -> None:
    from pathlib import Path

    block = Path(str(tmp_path)) / "own_blocks_for_probe.py"
    block.write_text(
        "import torch.nn as nn\n\nclass Block(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.used = nn.Linear(4, 4)\n        self.unused = nn.Linear(4, 4)\n\n"
        "    def forward(self, x):\n        return self.used(x)\n",
        encoding="utf-8",
    )
    text = HEADER + textwrap.dedent("""
        from own_blocks_for_probe import Block

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.block = Block()

            def forward(self, x):
                return self.block(x)
    """)
    [finding] = probe(text).findings
    assert (finding.path, finding.line) == (str(block), 7)


def test_other_lines_than_the_ones_of_python_keep_their_places(probe: Probe) -> None:
    text = net("model = Net(7)\n").replace("\n", "\r\n").replace("self.layer = ", "self.layer = ")
    text = text.replace("return self.layer(x)", "é = '🙂'; return self.layer(x).detach()  # 🙂")
    [finding] = probe(text).findings
    line = text.split("\r\n")[finding.line - 1]
    assert line[finding.column : finding.end_column] == "é = '🙂'; return self.layer(x).detach()"


def test_a_hint_may_name_a_factory_and_unpack(probe: Probe) -> None:
    factory = "def make(size): return Net(size)\ndef batch(): return (torch.ones(2, 9),)\n"
    for inputs in ("*batch()", "x=torch.ones(2, 9)"):
        hinted = net("").replace("class Net", f"{factory}# gradsense: probe make(9)({inputs})\nclass Net")
        report = probe(hinted)
        (given,) = report.inputs
        assert (report.error, given.text, given.source) == (None, "float32 (2, 9)", "hint")
        assert report.constructor == "make(9)"
        assert report.hint == ""


@pytest.mark.parametrize(
    ("signature", "body", "expected"),
    [
        ("hidden", "self.fc = nn.Linear(5, hidden)", "Net(hidden=16)(torch.randn(4, 5))"),
        ("hidden=3", "self.fc = nn.Linear(5, hidden)", "Net(...)(torch.randn(4, 5))"),
        ("", "self.fc = nn.Embedding(7, 3)", "Net(...)(torch.randint(0, 7, (4, 8)))"),
    ],
)
def test_what_was_made_up_is_a_hint(probe: Probe, signature: str, body: str, expected: str) -> None:
    text = f"""{HEADER}
class Net(nn.Module):
    def __init__(self, {signature}):
        super().__init__()
        {body}

    def forward(self, x):
        return self.fc(x)
"""
    report = probe(text)
    assert (report.error, report.hint) == (None, expected)
    again = probe(text.replace("class Net", f"{report.hint_line}\nclass Net"))
    assert (again.error, again.hint) == (None, "")
    assert [each.source for each in again.inputs] == ["hint"]


def test_a_package_is_entered_without_what_it_imports(probe: Probe, tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("from .heavy import thing\nfrom .parts import Part as Other\nWIDTH = 3\n")
    (package / "heavy.py").write_text("import sys; sys.exit('imported')\n")
    (package / "parts.py").write_text("import not_installed_anywhere\nimport torch.nn as nn\nPart = nn.Linear\n")
    path = package / "model.py"
    text = HEADER + (
        "from .parts import Part\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.part = Part(3, 2)\n    def forward(self, x):\n        return self.part(x)\n"
    )
    path.write_text(text)
    assert probe(text, path=path).summary() == "all 2 parameters learn"
    (package / "heavy.py").write_text("thing = 1\n")
    asked = text.replace("Part(3, 2)", "Part(WIDTH, 2)").replace("import Part\n", "import Part\nfrom . import WIDTH\n")
    path.write_text(asked)
    assert probe(asked, path=path).summary() == "all 2 parameters learn"


CHECKED = f"""{HEADER}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 2)
        self.length = 5

    def forward(self, x, table):
        h = self.fc(x.relu())
        b, t, d = h.shape
        CHECK
        return self.fc(x).sum() + table.sum()
"""


@pytest.mark.parametrize(
    ("check", "shapes"),
    [
        ("assert t <= self.length", ["(4, 5, 6)", "(4, 8)"]),
        ("assert table.shape == (x.shape[1], x.shape[-1])", ["(4, 6, 6)", "(6, 6)"]),
        ("if table.dim() != 3 or not table.size(0) == 2: raise ValueError", ["(4, 6, 6)", "(2, 6, 8)"]),
        ("assert d == 2 and table.shape[1] % 7 == 0", ["(4, 6, 6)", "(4, 14)"]),
    ],
)
def test_what_the_code_checks_is_met(probe: Probe, check: str, shapes: list[str]) -> None:
    report = probe(CHECKED.replace("CHECK", check))
    assert report.error is None
    assert [each.text.removeprefix("float32 ") for each in report.inputs] == shapes


def test_what_only_fails_with_data_is_repaired(probe: Probe) -> None:
    report = probe(f"""{HEADER}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(12, 3)
        self.register_buffer("offsets", torch.tensor([0, 3, 6]))

    def forward(self, x):
        return F.softmax(self.table(x.long() + self.offsets), dim=2)
""")
    assert report.error is None


def test_a_configuration_with_open_or_large_sizes(probe: Probe) -> None:
    report = probe(f"""{HEADER}
from dataclasses import dataclass

@dataclass
class Config:
    hidden: int = None
    vocab_size: int = -1
    wide: int = 200_000

class Net(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.table = nn.Embedding(config.vocab_size, config.hidden)
        self.wide = nn.Linear(config.hidden, config.wide)
        self.out = nn.Linear(config.wide, 256)

    def forward(self, tokens):
        return self.out(self.wide(self.table(tokens)))
""")
    assert (report.error, report.measured) == (None, True)
    assert max(each.count for each in report.parameters) < 10_000
