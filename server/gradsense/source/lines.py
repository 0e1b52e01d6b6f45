"""Offsets to lines and columns and back, in the units of each encoding that editors count in."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import Literal

from gradsense.findings import Span

Encoding = Literal["utf-8", "utf-16", "utf-32"]

# What LSP and Python call a line's end. `str.splitlines` breaks at form feeds and U+2028, too.
_NEWLINE = re.compile(r"\r\n|\n|\r")


def newline_of(text: str) -> str:
    """The line ending that a text uses, as its first line has it; LF where there is none."""
    found = _NEWLINE.search(text)
    return found[0] if found else "\n"


class LineIndex:
    """The lines of one text. Lines break at LF, CRLF and CR only; all numbers start at 0.

    An offset or column is a number of code points; *units* are what an encoding counts: bytes in UTF-8,
    16-bit words in UTF-16, code points in UTF-32. A lone surrogate counts as the one word (three bytes) it
    would take.
    """

    __slots__ = ("_ascii", "_ends", "_starts", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._ascii = text.isascii()
        if "\r" not in text:
            # Four times as fast, and most texts are so.
            self._starts = list(accumulate([len(line) + 1 for line in text.split("\n")], initial=0))
            del self._starts[-1]
            self._ends = [start - 1 for start in self._starts[1:]]
        else:
            newlines = [newline.span() for newline in _NEWLINE.finditer(text)]
            self._starts = [0, *(end for _, end in newlines)]
            self._ends = [start for start, _ in newlines]
        self._ends.append(len(text))

    @property
    def line_count(self) -> int:
        """How many lines there are: one more than there are newlines."""
        return len(self._starts)

    def line_span(self, line: int) -> Span:
        """The range of `line` without its newline; the nearest line's where there is no such line."""
        line = self._clamp(line)
        return Span(self._starts[line], self._ends[line])

    def position(self, offset: int) -> tuple[int, int]:
        """The line and column of `offset`, which is clamped to the text."""
        offset = min(max(offset, 0), len(self._text))
        line = bisect_right(self._starts, offset) - 1
        return line, offset - self._starts[line]

    def offset(self, line: int, column: int) -> int:
        """The offset of a line and column; a column past the line's end means the line's end."""
        if line < 0:
            return 0
        if line >= len(self._starts):
            return len(self._text)
        return min(self._starts[line] + max(column, 0), self._ends[line])

    def to_units(self, offset: int, encoding: Encoding) -> tuple[int, int]:
        """The line of `offset`, and its column in the units of `encoding`."""
        line, column = self.position(offset)
        if self._ascii or encoding == "utf-32":
            return line, column
        start = self._starts[line]
        return line, _units(self._text[start : start + column], encoding)

    def from_units(self, line: int, units: int, encoding: Encoding) -> int:
        """The offset of a line and a column in units of `encoding`.

        Past the line's end it is the line's end, before its newline; inside of a character it is where that
        begins.
        """
        if self._ascii or encoding == "utf-32" or not 0 <= line < len(self._starts):
            return self.offset(line, units)
        start, end = self._starts[line], self._ends[line]
        # A character takes one unit at least, so what is sought lies in the first `units` characters.
        content = self._text[start : min(end, start + max(units, 0))]
        if content.isascii():
            return start + len(content)
        count = 0
        for column, character in enumerate(content):
            count += _units(character, encoding)
            if count > units:
                return start + column
        return start + len(content)

    def _clamp(self, line: int) -> int:
        return min(max(line, 0), len(self._starts) - 1)


def _units(text: str, encoding: Encoding) -> int:
    if text.isascii():
        return len(text)
    if encoding == "utf-8":
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
