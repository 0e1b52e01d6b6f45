"""Runs of commands, with what they cost, their own processes included."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gradsense.cli.documents import find_files, read_document
from gradsense.config import Settings
from gradsense.snapshot import Snapshot
from gradsense.workspace.files import UnreadableFile
from gradsense.workspace.import_scan import ImportScan
from gradsense.workspace.session import Session


class Cost(NamedTuple):
    """Seconds of one run, or the medians of several."""

    wall: float
    cpu: float
    """Of the command and of all processes that it has waited for."""
    said: str = ""


def cost_of(command: Sequence[str], folder: Path) -> Cost:
    """Run a command. Raises RuntimeError where it ends with more than a finding."""
    # Compiled modules are kept, as they are wherever a package is installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as said:
        begin = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    # Files that nobody could read make it a 2.
    if process.returncode not in (0, 1, 2) or "Traceback (most" in text:
        raise RuntimeError(f"{command} ended with {process.returncode}: {text[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, text)


def in_turns(runs: Mapping[str, Callable[[], Cost]], turns: int) -> dict[str, Cost]:
    """The medians of each kind of run, made one after the other, so that all of them see the same machine."""
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    for _ in range(turns):
        for name, run in runs.items():
            costs[name].append(run())
    return {
        name: Cost(
            statistics.median(cost.wall for cost in each), statistics.median(cost.cpu for cost in each), each[-1].said
        )
        for name, each in costs.items()
    }


@dataclass(frozen=True, slots=True)
class Scan:
    """What it costs to read files, and to see which of them have nothing to do with training."""

    files: int
    lines: int
    characters: int
    passed_by: int
    lines_passed_by: int
    reading: float
    """Seconds of CPU time."""
    scanning: float


def scanned(folders: Sequence[Path]) -> Scan:
    """Scan every program of some projects, one after the other, in this process."""
    files = lines = characters = passed_by = lines_passed_by = 0
    reading = scanning = 0.0
    for folder in folders:
        session = Session([folder])
        scan = ImportScan(session)
        for path in find_files([str(folder)], folder, lambda message: None):
            begin = time.process_time()
            try:
                document = read_document(path, folder)
                snapshot = Snapshot(str(path), document.text, Settings(), cells=document.cells)
            except UnreadableFile:
                continue
            middle = time.process_time()
            looked_at = scan.may_train(snapshot)
            scanning += time.process_time() - middle
            reading += middle - begin
            count = snapshot.text.count("\n")
            files, lines, characters = files + 1, lines + count, characters + len(snapshot.text)
            passed_by += not looked_at
            lines_passed_by += 0 if looked_at else count
    return Scan(files, lines, characters, passed_by, lines_passed_by, reading, scanning)
