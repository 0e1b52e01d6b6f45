"""What was judged by hand: read, written, and matched with what is found."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus.scan import Found

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Judgement:
    """One finding judged: `verdict` says whether the repository's maintainer would agree with it."""

    repository: str
    path: str
    line: int
    rule: str
    content: str
    verdict: bool
    reason: str
    cell: int | None = None

    @property
    def place(self) -> str:
        cell = f":cell {self.cell}" if self.cell is not None else ""
        return f"{self.path}{cell}:{self.line}"


def read_judgements(path: Path) -> list[Judgement]:
    """The judgements in a file; those whose verdict is still open are left out."""
    table = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    return [
        Judgement(repository=group["repository"], **entry)
        for group in table.get("judged", ())
        for entry in group["findings"]
        if isinstance(entry["verdict"], bool)
    ]


def write_judgements(path: Path, judgements: Iterable[Judgement], commits: Mapping[str, str]) -> None:
    """Write judgements in the order of their places, one a line."""
    rows = [(each, "true" if each.verdict else "false", each.reason) for each in judgements]
    path.write_text(_grouped(rows, commits), "utf-8")


def write_open(path: Path, found: Iterable[Found], commits: Mapping[str, str]) -> None:
    """Write findings in the same form, with `verdict = "?"`, for a person to fill in."""
    path.write_text(_grouped([(each, '"?"', each.message) for each in found], commits), "utf-8")


def _grouped(rows: Iterable[tuple[Judgement | Found, str, str]], commits: Mapping[str, str]) -> str:
    groups: dict[str, list[tuple[Judgement | Found, str, str]]] = defaultdict(list)
    for row in rows:
        groups[row[0].repository].append(row)
    written = []
    for repository in sorted(groups):
        entries = "".join(f"    {_entry(*row)},\n" for row in sorted(groups[repository], key=_order))
        head = f"[[judged]]\nrepository = {_quoted(repository)}\ncommit = {_quoted(commits.get(repository, ''))}\n"
        written.append(f"{head}findings = [\n{entries}]\n")
    return "\n".join(written)


def _order(row: tuple[Judgement | Found, str, str]) -> tuple[str, int, int, str]:
    each = row[0]
    return each.path, each.cell or 0, each.line, each.rule


def _entry(each: Judgement | Found, verdict: str, reason: str) -> str:
    cell = f"cell = {each.cell}, " if each.cell is not None else ""
    return (
        f"{{ path = {_quoted(each.path)}, {cell}line = {each.line}, rule = {_quoted(each.rule)}, "
        f"content = {_quoted(each.content)}, verdict = {verdict}, reason = {_quoted(reason)} }}"
    )


def _quoted(text: str) -> str:
    # A JSON string without escapes beyond ASCII is a TOML string too.
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class Matched:
    """Findings with their judgement (None: new), and judgements of what is no longer found."""

    found: tuple[tuple[Found, Judgement | None], ...]
    gone: tuple[Judgement, ...]


def match(found: Iterable[Found], judgements: Iterable[Judgement]) -> Matched:
    """Findings and judgements of the same rule at a line of the same content; among several, by number of the line.

    A judgement holds for all that its rule finds at its line.
    """
    held: dict[_Key, dict[_Line, Judgement]] = defaultdict(dict)
    for judgement in judgements:
        held[_key(judgement)][_line(judgement)] = judgement
    places: dict[tuple[_Key, _Line], list[Found]] = defaultdict(list)
    for each in found:
        places[_key(each), _line(each)].append(each)
    paired = {place: held[place[0]].pop(place[1], None) for place in places}
    for place, judgement in paired.items():
        rest = held[place[0]]
        if judgement is None and rest:
            paired[place] = rest.pop(min(rest))
    pairs = ((each, paired[place]) for place, there in places.items() for each in there)
    return Matched(tuple(pairs), tuple(judgement for rest in held.values() for judgement in rest.values()))


_Key = tuple[str, str, str, str]
_Line = tuple[int, int]


def _key(each: Found | Judgement) -> _Key:
    return each.repository, each.path, each.rule, each.content


def _line(each: Found | Judgement) -> _Line:
    return each.cell or 0, each.line
