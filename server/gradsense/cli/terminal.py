"""The terminal: colours where they are wanted, plain text elsewhere."""

from __future__ import annotations

import os
from typing import TextIO

from rich.console import Console


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
