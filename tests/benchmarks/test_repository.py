"""`make bench-repository`: a report of what was measured, from the commands that people type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.repository import __main__ as bench
from benchmarks.repository.measure import Cost, cost_of, in_turns, scanned

from tests.workspace.folders import write_files

NET = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(4, 4)]
"""


def test_what_a_command_costs(tmp_path: Path) -> None:
    burns = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**6))']); print('done')"
    cost = cost_of([sys.executable, "-c", burns], tmp_path)
    assert cost.said == "done\n"
    assert cost.cpu > 0
    with pytest.raises(RuntimeError, match="ended with 3"):
        cost_of([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)


def test_the_median_of_turns_is_told() -> None:
    costs = iter([Cost(3, 30), Cost(7, 1), Cost(1, 10), Cost(9, 2), Cost(2, 20), Cost(8, 3)])
    medians = in_turns({"a": lambda: next(costs), "b": lambda: next(costs)}, 3)
    assert medians == {"a": Cost(2, 20), "b": Cost(8, 2)}


def test_what_is_passed_by_is_counted(tmp_path: Path) -> None:
    write_files(tmp_path, {"net.py": NET, "other.py": "print(1)\nprint(2)\n", "no.py": b"\xff"})
    scan = scanned([tmp_path])
    assert (scan.files, scan.passed_by, scan.lines_passed_by) == (2, 1, 2)


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(tmp_path / "from", {"someone+project/net.py": NET, "someone+project/other.py": "print(1)\n"})
    monkeypatch.setattr(bench, "CORES", ("someone+project",))
    report = tmp_path / "REPORT.md"
    monkeypatch.setattr(
        sys, "argv", ["bench", "--from", str(tmp_path / "from"), "--turns", "1", "--report", str(report)]
    )
    bench.main()
    text = report.read_text()
    assert "2 files" in text
    assert "1 files with 1 lines were passed by" in text
    assert "someone/project" in text
    assert str(tmp_path) not in text
