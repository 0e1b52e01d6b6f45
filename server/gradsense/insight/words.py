"""Lines of words in columns, as they stand in a hover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MOST_ROWS = 24


def in_columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """The rows with their columns aligned; what is beyond a hover's size is counted."""
    rows = list(rows)
    shown = rows[:_MOST_ROWS]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)] if shown else []
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    if len(rows) > len(shown):
        lines.append(f"… and {len(rows) - len(shown)} more")
    return lines


def listed(names: Iterable[str], most: int = 6) -> str:
    """Names with commas between; of many only the first, and how many more."""
    names = list(names)
    more = f", {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
