"""Files that are analysed where the user's files may not be: their texts, and those that they import, go along.

Nothing is read there. What an analysis would like to know beyond that comes back as questions.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from gradsense import __version__
from gradsense.batch.channel import packed, unpacked
from gradsense.snapshot import Question, Snapshot
from gradsense.workspace.outcomes import Outcome, outcome_of_round
from gradsense.workspace.solve import Round, rounds

_STACK = 64 * 1024 * 1024
"""Bytes: the engine follows programs deeper than the stack of a pool's thread may be."""

_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Errand:
    """Numbered snapshots, with the answers that they are likely to need."""

    version: str
    snapshots: tuple[tuple[int, Snapshot], ...]


@dataclass(frozen=True, slots=True)
class Returned:
    """What became of one of them: its outcome if nobody has an answer to what was `asked`, which may be nothing."""

    number: int
    outcome: Outcome
    asked: frozenset[Question]
    unsettled: bool
    """Whether to learn that there are no answers would change something."""


class OtherVersion(Exception):
    """The other side has another GradSense."""


def errand_for(snapshots: tuple[tuple[int, Snapshot], ...]) -> bytes:
    """Some snapshots as `run_errand` takes them."""
    return packed(Errand(__version__, snapshots))


def returned_from(data: bytes) -> tuple[Returned, ...]:
    """What `run_errand` gives."""
    returned = unpacked(data)
    assert isinstance(returned, tuple)
    return returned


def run_errand(data: bytes) -> bytes:
    """Analyse: in a process of whatever executor, one file at a time. Raises OtherVersion."""
    errand = unpacked(data)
    assert isinstance(errand, Errand)
    if errand.version != __version__:
        raise OtherVersion(f"GradSense {errand.version} has sent this, and here is {__version__}: install the same")
    returned: list[Returned] = []
    with _one_at_a_time:
        if threading.current_thread() is threading.main_thread():
            returned += map(_analysed, errand.snapshots)
        else:
            before = threading.stack_size(_STACK)
            try:
                thread = threading.Thread(target=lambda: returned.extend(map(_analysed, errand.snapshots)))
                thread.start()
            finally:
                threading.stack_size(before)
            thread.join()
            if len(returned) < len(errand.snapshots):
                raise RuntimeError("the analysis failed; its process's log says why")
    return packed(tuple(returned))


def _analysed(numbered: tuple[int, Snapshot]) -> Returned:
    number, snapshot = numbered
    current = next(rounds(snapshot))
    answers = {**snapshot.answers, **dict.fromkeys(current.asked)}
    outcome = outcome_of_round(Round(current.analysis, frozenset(), answers))
    return Returned(number, outcome, current.asked, current.analysis.unsettled)
