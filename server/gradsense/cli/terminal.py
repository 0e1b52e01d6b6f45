"""The terminal: colours where they are wanted, plain text elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from rich.console import Console

T = TypeVar("T")

_FEW = 20
"""Done before a bar could be read."""


class _Terminal(Console):
    """A console that leaves a closed pipe to `main`: rich would exit with the code that means findings."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console_for(stream: TextIO) -> Console:
    """A console that guesses at no colours in a text. NO_COLOR and FORCE_COLOR are respected."""
    width = None if stream.isatty() else 120
    if os.environ.get("NO_COLOR"):
        return _Terminal(file=stream, width=width, highlight=False, color_system=None)
    return _Terminal(file=stream, width=width, highlight=False)


def with_progress(items: Iterable[T], total: int, doing: str) -> Iterator[T]:
    """The items, with a bar on standard error meanwhile where that is a terminal, and there are more than a few."""
    if total <= _FEW or not sys.stderr.isatty():
        yield from items
        return
    from rich.progress import track

    yield from track(items, doing, total=total, console=console_for(sys.stderr), transient=True)
