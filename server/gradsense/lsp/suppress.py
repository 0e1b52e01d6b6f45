"""Edits that silence a rule by a comment: on a statement's last line, or for the whole file."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gradsense.findings import Edit, Finding, Span
from gradsense.source.blocks import read_document
from gradsense.source.lines import LineIndex, newline_of
from gradsense.source.notebook import head_of_cells
from gradsense.source.scan import scan
from gradsense.source.suppressions import Suppression

_HEAD = re.compile(r"(?:#!|#.*?coding[:=])")


def suppress_on_line(text: str, cells: tuple[int, ...], finding: Finding) -> Edit | None:
    """Silence the rule for the statement that the finding begins in; None if it already is."""
    start, end = _logical_line(text, cells, finding.span.start)
    document = read_document(text, cells)
    first = document.lines.position(start)[0]
    here = [s for s in document.suppressions if s.kind == "line" and first in s.lines]
    if here:
        return _merged(text, here, finding)
    # The comment goes behind what the last line holds; a logical line never ends inside of a string.
    content = text[start:end].rstrip()
    return _insertion(start + len(content), f"  # gradsense: ignore[{finding.name}]")


def suppress_in_file(text: str, cells: tuple[int, ...], finding: Finding) -> Edit | None:
    """Silence the rule for the whole file; None if it already is."""
    document = read_document(text, cells)
    here = [s for s in document.suppressions if s.kind == "file"]
    if here:
        return _merged(text, here, finding)
    comment = f"# gradsense: ignore-file[{finding.name}]{newline_of(text)}"
    return _insertion(head_of_cells(text) if cells else _head_of(text, document.lines), comment)


def _head_of(text: str, lines: LineIndex) -> int:
    """Below a `#!` line and a coding comment, which count in their places only."""
    line = 0
    while line < 2 and line < lines.line_count - 1 and _HEAD.match(text, lines.line_span(line).start):
        line += 1
    return lines.line_span(line).start


def _merged(text: str, suppressions: Iterable[Suppression], finding: Finding) -> Edit | None:
    """The rule's name added to a suppression that is there; None if one covers it."""
    last: Span | None = None
    for suppression in suppressions:
        names = {name for name, _ in suppression.rules}
        if not names or names & {finding.name, finding.code}:
            return None
        last = suppression.rules[-1][1]
    return _insertion(last.end, f", {finding.name}") if last else None


def _logical_line(text: str, cells: tuple[int, ...], offset: int) -> tuple[int, int]:
    """The range of the logical line around `offset`, in its own cell."""
    start = max((cell for cell in cells if cell <= offset), default=0)
    end = min((cell for cell in cells if cell > offset), default=len(text))
    for line in scan(text[start:end]).lines:
        if offset < start + line.length:
            return start, start + line.length
        start += line.length
    return start, start


def _insertion(offset: int, text: str) -> Edit:
    return Edit(Span(offset, offset), text)
