"""What is remembered of a file's runs from one analysis to the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gradsense.program.run import Run
from gradsense.source.memo import Memo

Entry = tuple[str, str]
"""What a run began with: its kind (`script`, `function`, `class`), and its name."""

_VERSIONS = 2
"""Results kept of one entry: an edit and its undoing find theirs again."""
_LATELY = 64
"""Analyses for which what is no longer used is kept."""


@dataclass(slots=True, eq=False)
class Result:
    """What a run from an entry gave: `value` is None where the `budget` of steps was spent on the way. `content` is the
    code and the values that it began with.
    """

    content: tuple[object, ...]
    budget: int
    run: Run
    value: Any
    used: int
    """The analysis that has used it last."""

    @property
    def steps(self) -> int:
        """How many it has taken."""
        return self.budget - self.run.remaining

    def is_within(self, budget: int) -> bool:
        """Whether a run with this budget would have come as far."""
        return self.steps <= budget if self.value is not None else budget <= self.budget


class Memory:
    """The last results of each entry of a file: as many as the file has entries, however long somebody types."""

    def __init__(self) -> None:
        self._results: dict[Entry, list[Result]] = {}
        self._analysis = 0

    def __len__(self) -> int:
        """How many results there are."""
        return sum(map(len, self._results.values()))

    def begin(self) -> None:
        """Another analysis begins: now and then, forget what none of the last ones has used."""
        self._analysis += 1
        if self._analysis % _LATELY:
            return
        for entry, results in list(self._results.items()):
            kept = [result for result in results if result.used > self._analysis - _LATELY]
            _let_go(result for result in results if result not in kept)
            if kept:
                self._results[entry] = kept
            else:
                del self._results[entry]

    def results(self, entry: Entry, content: tuple[object, ...], budget: int) -> list[Result]:
        """What there is for an entry with this content and budget, the one that was used last first."""
        results = self._results.get(entry, ())
        return [result for result in results if result.content == content and result.is_within(budget)]

    def use(self, entry: Entry, result: Result) -> None:
        """One of the results still holds."""
        result.used = self._analysis
        results = self._results[entry]
        if results[0] is not result:
            results.remove(result)
            results.insert(0, result)

    def keep(self, entry: Entry, content: tuple[object, ...], budget: int, run: Run, value: object) -> None:
        """A run is over."""
        results = self._results.setdefault(entry, [])
        results.insert(0, Result(content, budget, run, value, self._analysis))
        _let_go(results[_VERSIONS:])
        del results[_VERSIONS:]


def _let_go(results: Iterable[Result]) -> None:
    for result in results:
        result.run.let_go()


_memories: Memo[tuple[str, bool], Memory] = Memo(600)
"""By the file's path, and whether it is a notebook whose cells run in any order; together as many results, of which
each takes 50 to 100 KB, and all of the file that was analysed last.
"""


def memory_of(path: str, in_any_order: bool) -> Memory:
    """What is remembered of a file."""
    memory = _memories.get((path, in_any_order))
    if memory is None:
        memory = Memory()
        remember(path, in_any_order, memory)
    return memory


def forget(path: str) -> None:
    """Nobody looks at a file any more."""
    for in_any_order in (False, True):
        _memories.drop((path, in_any_order))


def remember(path: str, in_any_order: bool, memory: Memory) -> None:
    """Keep what is remembered of a file; of the files that were analysed last, in all."""
    _memories.put((path, in_any_order), memory, max(1, len(memory)))
