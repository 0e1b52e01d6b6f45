"""Offsets, lines and columns, in the units of every encoding that editors count in."""

from __future__ import annotations

import pytest

from gradsense.findings import Span
from gradsense.source.lines import Encoding, LineIndex

TEXT = "a\r\nb\rc\n\td\fe\x0b\x1c\x85\u2028\u2029f\n"


def test_lines_break_at_lf_crlf_and_cr_only() -> None:
    lines = LineIndex(TEXT)
    assert lines.line_count == 5
    contents = [TEXT[span.start : span.end] for span in map(lines.line_span, range(lines.line_count))]
    assert contents == ["a", "b", "c", "\td\fe\x0b\x1c\x85\u2028\u2029f", ""]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", ["", "\n", TEXT, "é🎉x\r\n🎉🎉\n", "\ufeffx = '日本'\n", "a\ud800b\n🎉"])
def test_every_offset_comes_back(text: str, encoding: Encoding) -> None:
    lines = LineIndex(text)
    for offset in range(len(text) + 1):
        if text[offset - 1 : offset + 1] == "\r\n":
            continue  # between the two is no place in a line
        assert lines.offset(*lines.position(offset)) == offset
        assert lines.from_units(*lines.to_units(offset, encoding), encoding) == offset


@pytest.mark.parametrize(
    ("encoding", "columns"),
    [("utf-8", [0, 1, 3, 7, 8]), ("utf-16", [0, 1, 2, 4, 5]), ("utf-32", [0, 1, 2, 3, 4])],
)
def test_units(encoding: Encoding, columns: list[int]) -> None:
    lines = LineIndex("\naé🎉x\n")
    assert [lines.to_units(offset, encoding) for offset in range(1, 6)] == [(1, column) for column in columns]


def test_inside_a_character_is_its_start() -> None:
    lines = LineIndex("é🎉x")
    assert [lines.from_units(0, units, "utf-8") for units in range(8)] == [0, 0, 1, 1, 1, 1, 2, 3]
    assert [lines.from_units(0, units, "utf-16") for units in range(5)] == [0, 1, 1, 2, 3]


def test_a_lone_surrogate_has_a_width() -> None:
    lines = LineIndex("\ud83dx")
    assert lines.to_units(1, "utf-16") == (0, 1)
    assert lines.to_units(1, "utf-8") == (0, 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_positions_outside_are_clamped(encoding: Encoding) -> None:
    lines = LineIndex("ab\r\né🎉\n")
    assert lines.from_units(0, 99, encoding) == 2
    assert lines.from_units(1, 99, encoding) == 6
    assert lines.from_units(99, 0, encoding) == 7
    assert lines.from_units(-1, 5, encoding) == 0
    assert lines.from_units(1, -5, encoding) == 4
    assert lines.position(-3) == (0, 0)
    assert lines.position(99) == (2, 0)
    assert lines.line_span(99) == Span(7, 7)
