"""One process of the user's interpreter that has imported torch and waits for a probe: used once, then replaced.

Starting it runs the user's environment, so whoever calls `renew` answers for the user's trust.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradsense.probe.child import IMPORT_LIMIT_S, Child, environment_for
from gradsense.probe.plan import ProbePlan

IDLE_S = 600.0
"""A spare process holds some 200 MiB: as long as it is not used, it is kept for ten minutes."""
_KNOWN_PACKAGES = ("pytorch_lightning", "lightning")  # what `worker/main.py` imports besides torch


@dataclass(frozen=True)
class _Waiting:
    """`importing` ends with what the process leans on: paths and their times of modification; None if it failed."""

    child: Child
    interpreter: Path
    environment: Mapping[str, str]
    importing: asyncio.Task[Mapping[str, int] | None]


class Spare:
    """Keeps at most one process waiting, for `idle_s` seconds."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._waiting: _Waiting | None = None
        self._packages: frozenset[str] = frozenset()
        self._timer: asyncio.TimerHandle | None = None
        self._lock = asyncio.Lock()
        self._closed = False
        self._dropping: set[asyncio.Task[Any]] = set()

    def saw(self, text: str) -> None:
        """A file with `text` is probed: the next process imports what it mentions."""
        self._packages |= {package for package in _KNOWN_PACKAGES if package in text}

    async def renew(self, interpreter: Path, directory: Path, device: str = "cpu") -> None:
        """Have a process of `interpreter` wait, for a probe on `device`, unless one does already."""
        async with self._lock:
            environment = environment_for(device)
            waiting = self._waiting
            if waiting is not None and not _fits(waiting, interpreter, environment):
                await self._stop()
            if self._closed:
                return
            if self._waiting is None:
                try:
                    child = await Child.start(interpreter, directory, environment, " ".join(sorted(self._packages)))
                except (OSError, ValueError):
                    return  # the next probe says what is wrong
                importing = asyncio.ensure_future(_imported(child))
                self._waiting = _Waiting(child, interpreter, environment, importing)
            self._start_timer()

    async def take(self, plan: ProbePlan, interpreter: Path, on_wait: Callable[[], None]) -> Child | None:
        """The waiting process, which is the caller's to stop from here on; None where there is none that would do as a
        fresh one does. `on_wait` is called if it is still importing.
        """
        self.saw(plan.target.text)
        async with self._lock:
            waiting, self._waiting = self._waiting, None
            self._stop_timer()
        if waiting is None:
            return None
        taken = False
        try:
            if not _fits(waiting, interpreter, environment_for(plan.options.device)):
                return None
            if not waiting.importing.done():
                on_wait()
            leans_on = await waiting.importing
            taken = leans_on is not None and not waiting.child.has_ended and not _changed(leans_on)
            return waiting.child if taken else None
        finally:
            if not taken:
                self._drop(waiting)

    async def imported(self) -> None:
        """Wait until the process, if there is one, has done what it can do beforehand."""
        if self._waiting is not None:
            await asyncio.wait([self._waiting.importing])

    async def drop(self) -> None:
        """Kill the waiting process, if there is one."""
        async with self._lock:
            await self._stop()

    async def close(self) -> None:
        """Kill it, and start none any more."""
        self._closed = True
        await self.drop()
        await asyncio.gather(*self._dropping)

    async def _stop(self) -> None:
        waiting, self._waiting = self._waiting, None
        self._stop_timer()
        if waiting is not None:
            self._drop(waiting)
            await asyncio.gather(*self._dropping)

    def bury(self, child: Child) -> None:
        """Wait in the background for the end of a child that was killed."""
        self._keep(asyncio.ensure_future(child.stop()))

    def _drop(self, waiting: _Waiting) -> None:
        """In a task of its own, which nobody cancels."""
        self._keep(asyncio.ensure_future(_end(waiting)))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._idle)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _idle(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._drop(waiting)


async def _end(waiting: _Waiting) -> None:
    waiting.importing.cancel()
    await asyncio.gather(waiting.importing, return_exceptions=True)
    await waiting.child.stop()


def _fits(waiting: _Waiting, interpreter: Path, environment: Mapping[str, str]) -> bool:
    same = waiting.interpreter == interpreter and waiting.environment == environment
    return same and not waiting.child.has_ended


async def _imported(child: Child) -> Mapping[str, int] | None:
    try:
        return await asyncio.wait_for(_leans_on(child), IMPORT_LIMIT_S)
    except asyncio.TimeoutError:
        return None


async def _leans_on(child: Child) -> Mapping[str, int] | None:
    while True:
        try:
            message = await child.messages.__anext__()
        except StopAsyncIteration:
            return None
        if message["kind"] == "prepared":
            found: Mapping[str, int] = message["leans_on"]
            return found


def _changed(leans_on: Mapping[str, int]) -> bool:
    """Has a package been installed or removed, or a module been edited, since?"""
    try:
        return any(os.stat(path).st_mtime_ns != modified for path, modified in leans_on.items())
    except OSError:
        return True
