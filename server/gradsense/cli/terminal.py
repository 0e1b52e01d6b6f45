"""The terminal: colours where they are wanted, plain text elsewhere."""

from __future__ import annotations

import os
from typing import TextIO

from rich.console import Console


def console_for(stream: TextIO) -> Console:
    """A console that guesses at no colours in a text. NO_COLOR and FORCE_COLOR are respected."""
    width = None if stream.isatty() else 120
    if os.environ.get("NO_COLOR"):
        return Console(file=stream, width=width, highlight=False, color_system=None)
    return Console(file=stream, width=width, highlight=False)
