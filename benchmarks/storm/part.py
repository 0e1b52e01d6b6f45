"""What a part of the storm is: a function from options to a result.

A part is a module with `run(options: Options) -> Result`, listed in `parts.py`. It does as much as the options ask
for, and never raises for a failure that it is there to find: it notes it, and goes on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What all parts are asked."""

    seed: int = 0
    """The same seed makes the same inputs, whatever the number of processes."""
    inputs: int | None = None
    """How many inputs a part tries at most; None for its long form."""
    minutes: float | None = None
    """How long a part takes at most, on the clock."""
    laid_out: Path | None = None
    """A folder with public repositories, as <owner>+<name>/; None: what the repository itself has."""
    processes: int = 1
    case: str | None = None
    """Only this one: the `case` of a failure."""
    shard: tuple[int, int] = (1, 1)
    """Which of how many machines this is: the fuzz's inputs are divided between them."""

    def deadline(self) -> float:
        """When a part that begins now must end, in `time.monotonic()`."""
        return time.monotonic() + self.minutes * 60 if self.minutes is not None else float("inf")

    def bounded(self, items: Iterable[T], long: int | None = None) -> Iterator[T]:
        """The items as far as inputs and minutes reach; `long` is the number of the long form."""
        deadline = self.deadline()
        for item in islice(items, self.inputs if self.inputs is not None else long):
            if time.monotonic() > deadline:
                return
            yield item


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that must not be. With the options' seed, `--case` with its `case` makes it happen again."""

    case: str
    what: str
    """What happened, in one line."""
    text: str = ""
    """The input, as small as it could be made, or the traceback."""


@dataclass(slots=True)
class Result:
    """What came of a part."""

    counts: Counter[str] = field(default_factory=Counter)
    """How often each kind of thing was tried or seen, for the report's table."""
    figures: dict[str, str] = field(default_factory=dict)
    """Shares, percentiles, rates: by what they measure."""
    failures: list[Failure] = field(default_factory=list)
    limits: dict[str, str] = field(default_factory=dict)
    """Figures that a promise was broken by; a part with any has failed, as one with failures has."""
    notes: list[Failure] = field(default_factory=list)
    """What is counted into a figure, and may be looked at one by one: no failures by themselves."""
    most: dict[str, tuple[float, str]] = field(default_factory=dict)
    """The greatest that was seen of something, and the case."""

    def add(self, other: Result) -> None:
        """Take in what came of a share of the inputs."""
        self.counts += other.counts
        self.figures |= other.figures
        self.limits |= other.limits
        self.failures += other.failures
        self.notes += other.notes
        for what, (value, case) in other.most.items():
            self.saw(what, value, case)

    def saw(self, what: str, value: float, case: str) -> None:
        """Note a value if it is the greatest of its kind so far."""
        if what not in self.most or value > self.most[what][0]:
            self.most[what] = (value, case)

    @property
    def is_sound(self) -> bool:
        return not self.failures and not self.limits
