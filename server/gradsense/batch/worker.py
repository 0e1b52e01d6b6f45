"""A worker: a process that analyses one file after the other.

Whoever has started it tells of installed packages, and of which files lead to another.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from gradsense.batch.channel import Channel
from gradsense.collector import relax_collector
from gradsense.snapshot import ImportedBy, Snapshot
from gradsense.workspace.class_answers import ClassAnswers, ClassQuestion, Packages
from gradsense.workspace.environments import Surroundings
from gradsense.workspace.jedi_process import Told
from gradsense.workspace.outcomes import Outcome, outcome_of
from gradsense.workspace.session import Session

MOST_MEMORY = 1024 * 1024 * 1024
"""Bytes that a worker may have taken before another one takes its place."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is told first."""

    roots: tuple[Path, ...]
    surroundings: Surroundings


@dataclass(frozen=True, slots=True)
class Asked:
    """A worker's question, to be answered by a `Told`; if it is about who imports a file, by paths."""

    packages: Packages
    question: ClassQuestion | ImportedBy


@dataclass(frozen=True, slots=True)
class Done:
    """What a file came to."""

    outcome: Outcome
    is_full: bool
    """Whether the worker has grown large, and would rather be replaced."""


def main() -> None:
    """Analyse until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has started it gets Ctrl+C, too, and ends it
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not reach the other side as an answer
    channel = Channel(sys.stdin.buffer, answers)

    async def look_up(packages: Packages, question: ClassQuestion) -> Told:
        channel.send(Asked(packages, question))
        told = channel.receive()
        assert isinstance(told, Told)
        return told

    async def importers(question: ImportedBy) -> tuple[str, ...]:
        channel.send(Asked((), question))
        told = channel.receive()
        assert isinstance(told, tuple)
        return told

    try:
        orders = channel.receive()
        relax_collector()
        classes = ClassAnswers(look_up=look_up)
        session = Session(orders.roots, surroundings=orders.surroundings, classes=classes, importers=importers)
        while True:
            snapshot = channel.receive()
            assert isinstance(snapshot, Snapshot)
            channel.send(Done(outcome_of(session, snapshot), _memory() > MOST_MEMORY))
    except (EOFError, BrokenPipeError):
        return


def _memory() -> int:
    """The most bytes that this process has had, 0 where that can't be told."""
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
