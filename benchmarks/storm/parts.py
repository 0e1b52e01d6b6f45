"""The parts of the storm, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from benchmarks.storm.part import Options, Result

PARTS = {
    "fuzz": "texts of all kinds, through the engine and the command line's reader",
    "edits": "random edits in all three position encodings, against a plain model and a fresh process",
    "flicker": "lines of training files typed character by character",
    "containment": "one place in a file damaged, and the blocks lost besides its own",
    "fixes": "every fix of every finding, applied",
    "protocol": "sessions with clients that keep no rules: malformed, out of order, cancelled",
}
"""What each part does. `benchmarks/storm/<name>.py` has its `run`."""


def part(name: str) -> Callable[[Options], Result]:
    """The part of that name. Raises KeyError where there is none."""
    if name not in PARTS:
        raise KeyError(name)
    run: Callable[[Options], Result] = importlib.import_module(f"benchmarks.storm.{name}").run
    return run
