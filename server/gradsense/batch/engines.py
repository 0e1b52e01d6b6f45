"""Who analyses: this process, workers on this machine, or an executor from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import Protocol

from gradsense.snapshot import Snapshot
from gradsense.workspace.outcomes import Outcome, outcome_of
from gradsense.workspace.session import Session

WORTH_A_WORKER = 100_000
"""Characters of programs that take longer to analyse than a worker takes to start."""


Outcomes = Generator[tuple[int, Outcome], None, None]
"""The number of each snapshot with its outcome, as they come. What is at work for them ends with the iteration."""


class Engine(Protocol):
    """Takes snapshots without answers, and tells what each comes to."""

    def outcomes(self, snapshots: Sequence[Snapshot]) -> Outcomes:
        """The number of each snapshot with its outcome, as they come."""


class InThisProcess:
    """One after the other."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def outcomes(self, snapshots: Sequence[Snapshot]) -> Outcomes:
        for number, snapshot in enumerate(snapshots):
            yield number, outcome_of(self._session, snapshot)


def cores() -> int:
    """How many processes may run at once here."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers_for(snapshots: Sequence[Snapshot], jobs: int) -> int:
    """How many of up to `jobs` workers are worth their start for some files; 1: this process is enough."""
    worth = sum(len(snapshot.text) for snapshot in snapshots) // WORTH_A_WORKER
    return max(1, min(jobs, worth, len(snapshots)))
