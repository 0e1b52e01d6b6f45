"""The recall set: programs with a mistake that somebody reported in public, each with its corrected twin.

A case is a folder `programs/<slug>/` with `case.toml` and the two programs: `buggy.py` and `fixed.py`, or folders
`buggy/` and `fixed/` for a program of several files. `case.toml` has

- `report`: public address of the report, host and path;
- `fault`: what happens, in one sentence;
- `rules`: the codes whose finding answers the report, the most direct first;
- `lines`: the lines of the buggy program at which such a finding is right, numbers (or `"file.py:12"`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from gradsense.config import Settings
from gradsense.engine import check_text
from gradsense.findings import Finding
from gradsense.rules.registry import all_rules
from gradsense.snapshot import Snapshot
from gradsense.workspace.configuration_file import tomllib
from gradsense.workspace.session import solve

HERE = Path(__file__).parent
KEYS = {"report", "fault", "rules", "lines"}


@dataclass(frozen=True)
class Told:
    """One finding, by its place in a program."""

    file: str
    line: int
    finding: Finding

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.finding.code} {self.finding.severity.value}: {self.finding.message}"


@dataclass(frozen=True, repr=False)
class Case:
    """One report, as a program and its corrected twin."""

    slug: str
    report: str
    fault: str
    rules: tuple[str, ...]
    lines: frozenset[tuple[str, int]]
    folder: Path

    def __repr__(self) -> str:
        return self.slug

    def told(self, twin: str) -> list[Told]:
        """What is found in the twin `buggy` or `fixed`."""
        return [told for file in self.files(twin) for told in _findings(file)]

    def files(self, twin: str) -> list[Path]:
        """The files of a twin, in order."""
        single = self.folder / f"{twin}.py"
        return [single] if single.exists() else sorted((self.folder / twin).rglob("*.py"))

    def answers(self, told: Told) -> bool:
        """Whether a finding in the buggy program is what the report asks for."""
        return told.finding.code in self.rules and (told.file, told.line) in self.lines

    def is_found(self) -> bool:
        return any(self.answers(told) for told in self.told("buggy"))

    def is_countable(self) -> bool:
        """Whether the rule that answers most directly exists, or another one found it."""
        return self.rules[0] in {rule.code for rule in all_rules()} or self.is_found()


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every case, in order of slug. Raises ValueError for a case that is not of the form above."""
    return tuple(_read(path.parent) for path in sorted((HERE / "programs").glob("*/case.toml")))


@functools.cache
def misses() -> dict[str, str]:
    """What the engine would need to know, by slug of each case that nothing finds yet."""
    return tomllib.loads((HERE / "misses.toml").read_text())


def _read(folder: Path) -> Case:
    table = tomllib.loads((folder / "case.toml").read_text())
    if table.keys() != KEYS or not all(table.values()):
        raise ValueError(f"{folder.name}: case.toml needs {', '.join(sorted(KEYS))}, and nothing else")
    lines = frozenset(_place(line) for line in table["lines"])
    return Case(folder.name, table["report"], table["fault"], tuple(table["rules"]), lines, folder)


def _place(line: int | str) -> tuple[str, int]:
    if isinstance(line, int):
        return "buggy.py", line
    file, _, number = line.rpartition(":")
    return file, int(number)


@functools.cache
def _findings(path: Path) -> tuple[Told, ...]:
    text = path.read_text()
    alone = path.stem in ("buggy", "fixed")
    root = next((parent for parent in path.parents if parent.name in ("buggy", "fixed")), path.parent)
    found = check_text(text) if alone else _among(path, root, text)
    name = path.name if alone else path.relative_to(root).as_posix()
    return tuple(Told(name, text.count("\n", 0, finding.span.start) + 1, finding) for finding in found)


def _among(path: Path, root: Path, text: str) -> list[Finding]:
    """What is found in a file that may import its neighbours, as the command line would."""
    analysis = solve(Snapshot(str(path), text, Settings()), roots=[root])
    if analysis.failures:
        raise RuntimeError("\n".join(analysis.failures))
    return list(analysis.findings)
