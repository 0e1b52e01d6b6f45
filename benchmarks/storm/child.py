"""Inputs are tried in child processes: one that crashes, hangs or eats all memory is a failure, and not the end."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from benchmarks.storm.part import Failure, Options, Result

_CONTEXT = multiprocessing.get_context("spawn")
_LOOK_EVERY = 5.0

Attempt = Callable[[Options, str, int], Result]
"""Tries the input of a kind and a number, and says what came of it. A function of a module."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs of one kind that a child tries in one go."""

    kind: str
    numbers: tuple[int, ...]


class _Child:
    """A process that tries one batch after the other."""

    def __init__(self, attempt: Attempt, options: Options, limit: float, memory: int) -> None:
        # The place in the batch that it is at: what it was at when it died.
        self.place = _CONTEXT.RawValue("q", 0)
        self.connection, theirs = _CONTEXT.Pipe()
        arguments = (theirs, self.place, attempt, options, limit, memory)
        self.process = _CONTEXT.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.batch: Batch | None = None
        self._seen = (-1, 0.0)

    def give(self, batch: Batch) -> None:
        self.batch = batch
        self.place.value = 0
        self._seen = (-1, 0.0)
        self.connection.send(batch)

    def hangs(self, limit: float) -> bool:
        """Whether it has been at one input for longer than `limit` seconds."""
        now = time.monotonic()
        if self.place.value != self._seen[0]:
            self._seen = (self.place.value, now)
        return now - self._seen[1] > limit

    def end(self) -> str:
        """Kill it, unless it is dead; how it ended."""
        self.process.join(0.2)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
        self.process.join()
        self.connection.close()
        if code is None:
            return "killed"
        if hasattr(signal, "SIGPROF") and code == -signal.SIGPROF:
            return "computed for too long"
        with contextlib.suppress(ValueError):
            return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return f"ended with {code}"


def try_all(
    attempt: Attempt, options: Options, part: str, batches: Iterable[Batch], *, limit: float = 60, memory: int = 3
) -> Iterator[Result]:
    """What comes of each batch, as children finish them, in any order.

    A child that has computed on one input for `limit` seconds is killed, and one that has been at it for ten times as
    long on the clock; `memory` is what it may have, in gigabytes. Windows can bound the clock's time alone. The input
    is a failure, and another child goes on behind it.
    """
    waiting: deque[Batch] = deque()
    coming = iter(batches)
    children: list[_Child] = []
    deadline = options.deadline()

    def following() -> Batch | None:
        if waiting:
            return waiting.popleft()
        return next(coming, None) if time.monotonic() < deadline else None

    try:
        for _ in range(options.processes):
            batch = following()
            if batch is not None:
                children.append(_Child(attempt, options, limit, memory))
                children[-1].give(batch)
        while children:
            ready = wait([child.connection for child in children], timeout=_LOOK_EVERY)
            for child in list(children):
                batch = child.batch
                assert batch is not None
                result, lost = None, ""
                if child.connection in ready:
                    try:
                        result = child.connection.recv()
                    except EOFError:
                        lost = child.end()
                elif child.hangs(10 * limit):
                    child.end()
                    lost = f"took longer than {10 * limit:.0f} seconds"
                if result is not None:
                    yield result
                elif lost:
                    place = child.place.value
                    yield Result(failures=[Failure(f"{part}/{batch.kind}/{batch.numbers[place]}", lost)])
                    if place + 1 < len(batch.numbers):
                        waiting.append(Batch(batch.kind, batch.numbers[place + 1 :]))
                    children.remove(child)
                    child = _Child(attempt, options, limit, memory)
                    children.append(child)
                else:
                    continue
                after = following()
                if after is not None:
                    child.give(after)
                else:
                    child.connection.close()
                    child.process.join()
                    children.remove(child)
    finally:
        for child in children:
            child.end()


def _serve(
    connection: Connection, place: object, attempt: Attempt, options: Options, limit: float, memory: int
) -> None:
    _bound_memory(memory)
    while True:
        try:
            batch: Batch = connection.recv()
        except EOFError:
            return
        result = Result()
        for index, number in enumerate(batch.numbers):
            place.value = index  # type: ignore[attr-defined]
            _bound_time(limit)
            result.add(attempt(options, batch.kind, number))
        connection.send(result)


def _bound_time(seconds: float) -> None:
    """Have the system end this process when it has computed for so long, native code or not."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _bound_memory(gigabytes: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (gigabytes << 30, gigabytes << 30))
