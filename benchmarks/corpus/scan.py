"""Repositories to findings: every file as the command line checks it, on all cores."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gradsense.cli.documents import Document, find_files, read_document
from gradsense.collector import relax_collector
from gradsense.config import Configuration
from gradsense.engine import is_relevant
from gradsense.findings import Finding
from gradsense.rules.registry import all_rules
from gradsense.snapshot import Snapshot
from gradsense.source.blocks import read_document as read_blocks
from gradsense.workspace.environments import Surroundings
from gradsense.workspace.files import UnreadableFile
from gradsense.workspace.session import Session

_TOGETHER = 40
"""Files that one process checks in one go."""


@dataclass(frozen=True)
class Found:
    """A finding, as people look it up. `content` tells its line by what stands there; `cell` counts from 1."""

    repository: str
    path: str
    line: int
    rule: str
    content: str
    severity: str
    message: str
    cell: int | None = None

    @property
    def place(self) -> str:
        cell = f":cell {self.cell}" if self.cell is not None else ""
        return f"{self.path}{cell}:{self.line}"


@dataclass(frozen=True)
class Checked:
    """One file. `lines` is 0 where the engine sees nothing of training in it."""

    repository: str
    path: str
    lines: int
    seconds: float
    found: tuple[Found, ...]
    failures: tuple[str, ...] = ()


def scan(repositories: Iterable[tuple[str, Path]], processes: int) -> Iterator[Checked]:
    """Every file of some repositories (names and folders), checked with all rules."""
    work = [
        (name, folder, batch)
        for name, folder in repositories
        for batch in _batches(list(find_files([str(folder)], folder, _say)))
    ]
    if processes == 1:
        for each in work:
            yield from _check_files(*each)
        return
    with ProcessPoolExecutor(processes) as pool:
        for (name, _, _), checked in zip(work, pool.map(_check_files, *zip(*work, strict=True)), strict=True):
            _show_progress(name)
            yield from checked


def _show_progress(repository: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{repository}", end="\r", file=sys.stderr, flush=True)


def _batches(files: list[Path]) -> Iterator[list[Path]]:
    for begin in range(0, len(files), _TOGETHER):
        yield files[begin : begin + _TOGETHER]


def _say(message: str) -> None:
    print(f"  {message}", file=sys.stderr)


_sessions: dict[Path, Session] = {}
"""The session of the repository that this process is at: its next files profit from what it has read."""


def _session(folder: Path) -> Session:
    if folder not in _sessions:
        for other in _sessions.values():
            other.close_now()
        _sessions.clear()
        # The environment of this interpreter alone, so that the shell's doesn't change what is found.
        _sessions[folder] = Session([folder], surroundings=Surroundings(None, None, (), sys.executable))
    return _sessions[folder]


def _check_files(repository: str, folder: Path, files: list[Path]) -> list[Checked]:
    relax_collector()
    session = _session(folder)
    return [checked for path in files if (checked := _check(repository, folder, path, session)) is not None]


def _check(repository: str, folder: Path, path: Path, session: Session) -> Checked | None:
    try:
        document = read_document(path, folder)
    except UnreadableFile:
        return None
    if not is_relevant(read_blocks(document.text, document.cells)):
        return Checked(repository, document.name, 0, 0.0, ())
    settings, _ = session.settings_for(path, _with_all_rules)
    begin = time.process_time()
    analysis = session.solve(Snapshot(str(path), document.text, settings, cells=document.cells))
    seconds = time.process_time() - begin
    found = tuple(_found(repository, document, finding) for finding in analysis.findings)
    return Checked(repository, document.name, _lines(document.text), seconds, found, analysis.failures)


def _with_all_rules(_: Configuration) -> Configuration:
    """What the repository's own configuration says would hide something."""
    return Configuration(select=frozenset(rule.code for rule in all_rules()))


def _lines(text: str) -> int:
    return sum(1 for line in text.split("\n") if line.strip())


def _found(repository: str, document: Document, finding: Finding) -> Found:
    view = document.view(finding.span.start)
    place = view.place(finding.span)
    line = view.text.split("\n")[place.line - 1]
    return Found(
        repository,
        document.name,
        place.line,
        finding.code,
        content_of(line),
        finding.severity.value,
        finding.message,
        view.cell,
    )


def content_of(line: str) -> str:
    """What tells a line by its content, without saying it."""
    return hashlib.sha256(line.strip().encode("utf-8", "surrogatepass")).hexdigest()[:12]
