"""Probes for tests: quick ones through `forks.py`, and texts that mark the line they are about with `#
here`."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gradsense.probe import child, client
from gradsense.probe.child import Ending
from gradsense.probe.plan import ProbeOptions, ProbeTarget, plan_probe
from gradsense.probe.report import ProbeReport
from gradsense.probe.told import Told

Probe = Callable[..., ProbeReport]

HEADER = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"


def line_of(text: str, mark: str = "# here") -> int:
    """The 1-based line that has the mark."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if mark in line)


@pytest.fixture(scope="session")
def forks() -> Iterator[subprocess.Popen[str]]:
    """The process that imports torch once."""
    worker = Path(child.__file__).parent / "worker"
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "forks.py"), str(worker)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


@pytest.fixture
def probe(forks: subprocess.Popen[str], tmp_path: Path) -> Probe:
    """`probe(text, class name)`: the report on a class of a text, which need not be dedented; of a file, if `path`
    is given."""

    def run(
        text: str, qualname: str = "Net", options: ProbeOptions | None = None, path: Path | None = None
    ) -> ProbeReport:
        if path is None:
            path = tmp_path / "model.py"
            text = textwrap.dedent(text)
            path.write_text(text, encoding="utf-8")
        plan = plan_probe(ProbeTarget(path, text, qualname), options or ProbeOptions(60.0), path.parent)
        assert forks.stdin is not None
        assert forks.stdout is not None
        forks.stdin.write(json.dumps(client.orders(plan)) + "\n")
        forks.stdin.flush()
        told, done = Told(plan, Path(sys.executable)), False
        trace: list[str] = []
        for line in forks.stdout:
            if line.startswith("TOKEN"):
                message = json.loads(line.removeprefix("TOKEN"))
                told.take(message)
                done = done or message["kind"] == "done"
            elif line.startswith("END "):
                if not done:
                    told.ended(Ending(int(line[4:]), False, tuple(trace)))
                break
            else:
                trace.append(line.rstrip("\n"))
        return told.report("", 0.0)

    return run


@pytest.fixture
def example() -> Callable[[str], str]:
    """The text of one of the project's examples."""
    folder = Path(__file__).parents[2] / "examples"
    return lambda name: (folder / name).read_text(encoding="utf-8")
