"""Comments that tell GradSense to be silent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from gradsense.findings import Span
from gradsense.source.lines import LineIndex
from gradsense.source.scan import LogicalLine

_DIRECTIVE = re.compile(r"#\s*gradsense:\s*(ignore-file|ignore)\b(?![-\w])(?:\s*\[([^\]\r\n]*)\])?")
_RULE = re.compile(r"[^\s,]+")


class Suppression(NamedTuple):
    """One `# gradsense: ignore[...]` or `# gradsense: ignore-file[...]`."""

    kind: Literal["line", "file"]
    rules: tuple[tuple[str, Span], ...]
    """Names or codes as written, each with its place; empty means all rules."""
    span: Span
    """The comment."""
    lines: range
    """The lines it covers: its own and, where a logical line has several, all of them."""


def find_suppressions(text: str, start: int, logical_lines: Sequence[LogicalLine]) -> list[Suppression]:
    """The suppressions among the comments that the scan has found in the lines that begin at `start`."""
    found: list[Suppression] = []
    index: LineIndex | None = None
    for line in logical_lines:
        for begin, end in line.comments:
            directive = _DIRECTIVE.search(text, start + begin, start + end)
            if directive is None:
                continue
            index = index or LineIndex(text)
            first, last = index.position(start)[0], index.position(start + line.length - 1)[0]
            found.append(
                Suppression(
                    "file" if directive[1] == "ignore-file" else "line",
                    tuple(
                        (rule[0], Span(*rule.span()))
                        for rule in _RULE.finditer(text, *directive.span(2))
                        if directive[2]
                    ),
                    Span(start + begin, start + end),
                    range(first, last + 1),
                )
            )
        start += line.length
    return found
