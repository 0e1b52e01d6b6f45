"""Source excerpts: the lines around a finding, with its range and the places that take part in it marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from gradsense.cli.documents import View
from gradsense.findings import Span
from gradsense.source.lines import LineIndex

_CONTEXT = 1
_TAB = "    "
_MARKED_LINES = 5
"""Of a longer range only the first line is marked."""
_GUTTER = "bold blue"


class Mark(NamedTuple):
    """A range to mark, with words beside it."""

    span: Span
    words: str
    style: str
    sign: str
    """What underlines it: `^` for the finding, `-` for what takes part in it."""


def excerpt(view: View, marks: Sequence[Mark], width: int) -> Iterator[Text]:
    """The marked lines and their neighbours, numbered; `...` where lines are left out."""
    text, lines = view.text, view.lines
    marks = [mark._replace(span=_local(mark.span, view.start)) for mark in marks]
    marked = [(line, mark) for mark in marks for line in _lines_of(lines, mark.span)]
    primary = {line for line, mark in marked if mark.sign == "^"}
    shown = {line for line, _ in marked}
    for line in primary:
        around = range(line - _CONTEXT, line + _CONTEXT + 1)
        shown |= {near for near in around if 0 <= near < lines.line_count and _content(text, lines, near).strip()}
    previous: int | None = None
    for line in sorted(shown):
        if previous is not None and line == previous + 2:
            yield _numbered(previous + 1, width, _content(text, lines, previous + 1))
        elif previous is not None and line > previous + 1:
            yield Text("...", _GUTTER)
        yield _numbered(line, width, _content(text, lines, line))
        here = [mark for marked_line, mark in marked if marked_line == line]
        for mark in sorted(here, key=lambda mark: mark.span, reverse=True):
            yield _underline(text, lines, line, mark, width)
        previous = line


def gutter_width(view: View, marks: Sequence[Mark]) -> int:
    """How many digits the largest line number has."""
    return max(len(str(view.place(mark.span).end_line + _CONTEXT)) for mark in marks)


def gutter(width: int, sign: str = "|") -> Text:
    """The margin of a line that has no number."""
    return Text(" " * width + f" {sign}", _GUTTER)


def _local(span: Span, start: int) -> Span:
    return Span(span.start - start, span.end - start)


def _lines_of(lines: LineIndex, span: Span) -> range:
    first = lines.position(span[0])[0]
    last, column = lines.position(span[1])
    if last > first and column == 0:
        last -= 1
    return range(first, last + 1) if last - first < _MARKED_LINES else range(first, first + 1)


def _content(text: str, lines: LineIndex, line: int) -> str:
    span = lines.line_span(line)
    return text[span.start : span.end]


def _numbered(line: int, width: int, content: str) -> Text:
    return Text.assemble((f"{line + 1:>{width}} |", _GUTTER), f" {_printable(content)}".rstrip())


def _underline(text: str, lines: LineIndex, line: int, mark: Mark, width: int) -> Text:
    whole = lines.line_span(line)
    content = text[whole.start : whole.end]
    indent = len(content) - len(content.lstrip())
    start = max(mark.span[0] - whole.start, indent if mark.span[0] < whole.start else 0)
    end = min(mark.span[1], whole.end) - whole.start
    before = cell_len(_printable(content[:start]))
    length = max(cell_len(_printable(content[start:end])), 1)
    last = line == _lines_of(lines, mark.span)[-1]
    words = f" {mark.words}" if mark.words and last else ""
    return Text.assemble(gutter(width), " " * (before + 1), (mark.sign * length + words, mark.style))


def _printable(text: str) -> str:
    """Tabs as spaces, and what would move a terminal's cursor as a visible sign."""
    return "".join(_TAB if c == "\t" else c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
