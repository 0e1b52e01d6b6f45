"""Quick probes: each is a fork of one process that has imported torch."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from gradsense.probe import child, client
from gradsense.probe.child import Ending
from gradsense.probe.plan import ProbePlan
from gradsense.probe.report import ProbeReport
from gradsense.probe.told import Told

PYTHON = Path(os.environ.get("GRADSENSE_PROBE_PYTHON", sys.executable))
"""The interpreter to probe with: `make test-old` gives one with old versions."""


@functools.cache
def torch_version() -> Version:
    """Of the interpreter to probe with."""
    code = "from importlib.metadata import version; print(version('torch'))"
    return Version(subprocess.run([PYTHON, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip())


def needs_torch(version: str) -> pytest.MarkDecorator:
    """A mark for tests whose program uses what came with that version of torch."""
    return pytest.mark.skipif(torch_version() < Version(version), reason=f"its program needs torch {version}")


class Forked:
    """The process, under any interpreter with torch. `close` ends it."""

    def __init__(self, interpreter: Path) -> None:
        worker = Path(child.__file__).parent / "worker"
        self._interpreter = interpreter
        self._process = subprocess.Popen(
            [interpreter, str(Path(__file__).parent / "forks.py"), str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def report(self, plan: ProbePlan) -> ProbeReport:
        """What the probe says, to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(client.orders(plan)) + "\n")
        self._process.stdin.flush()
        told, done = Told(plan, self._interpreter), False
        trace: list[str] = []
        for line in self._process.stdout:
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

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
