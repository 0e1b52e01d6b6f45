"""Probes for tests: quick ones through `forks.py`, and texts that mark the line they are about with `#
here`."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gradsense.probe.plan import ProbeOptions, ProbeTarget, plan_probe
from gradsense.probe.report import ProbeReport
from tests.probe.forked import PYTHON, Forked

Probe = Callable[..., ProbeReport]

HEADER = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"


def line_of(text: str, mark: str = "# here") -> int:
    """The 1-based line that has the mark."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if mark in line)


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """The process that imports torch once."""
    process = Forked(PYTHON)
    yield process
    process.close()


@pytest.fixture
def probe(forked: Forked, tmp_path: Path) -> Probe:
    """`probe(text, class name)`: the report on a class of a text, which need not be dedented; of a file, if `path`
    is given."""

    def run(
        text: str, qualname: str = "Net", options: ProbeOptions | None = None, path: Path | None = None
    ) -> ProbeReport:
        if path is None:
            path = tmp_path / "model.py"
            text = textwrap.dedent(text)
            path.write_text(text, encoding="utf-8")
        return forked.report(plan_probe(ProbeTarget(path, text, qualname), options or ProbeOptions(60.0), path.parent))

    return run


@pytest.fixture
def example() -> Callable[[str], str]:
    """The text of one of the project's examples."""
    folder = Path(__file__).parents[2] / "examples"
    return lambda name: (folder / name).read_text(encoding="utf-8")
