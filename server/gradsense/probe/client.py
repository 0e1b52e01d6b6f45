"""Run a plan in a child process and turn what it streams into a report. Whatever the child does, a report
comes back.

The child is `worker/`, loaded by path under a private name, so that nothing of ours is on the user's
`sys.path`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradsense.probe.child import IMPORT_LIMIT_S, Child, environment_for
from gradsense.probe.plan import ProbePlan
from gradsense.probe.report import ProbeReport
from gradsense.probe.told import Told

if TYPE_CHECKING:
    from gradsense.probe.spare import Spare

_IMPORTING = "Importing torch"  # the worker's own word for it
_GRACE_S = 2.0  # when its time is up the child tells where it hangs; past this it is not waited for
_ANSWER_LIMIT_S = 5.0  # a spare process takes its orders at once; a fresh one is started for one that doesn't


async def run_probe(
    plan: ProbePlan, interpreter: Path, on_progress: Callable[[str], None], spare: Spare | None = None
) -> ProbeReport:
    """Run `plan` under `interpreter` and report. `on_progress` gets a few words at each stage. A process that waits in
    `spare` is used.

    Cancelling the task kills the child with all its children. Raises nothing of its own: crashes, limits and
    a missing torch are reports with `error` set.
    """
    if spare is not None:
        waiting = await spare.take(plan, interpreter, lambda: on_progress(_IMPORTING))
        if waiting is not None:
            report = await _Run(plan, interpreter, on_progress, spare).in_child(waiting, is_spare=True)
            if report is not None:
                return report
    run = _Run(plan, interpreter, on_progress, spare)
    environment = environment_for(plan.options.device)
    try:
        child = await Child.start(
            interpreter, plan.working_directory, environment, plan.target.text, plan.target.path.parent
        )
    except (OSError, ValueError) as error:
        run.told.cannot_start(error)
        return run.told.report("", 0.0)
    report = await run.in_child(child, is_spare=False)
    assert report is not None
    return report


class _Run:
    """A plan in one child."""

    def __init__(
        self, plan: ProbePlan, interpreter: Path, on_progress: Callable[[str], None], spare: Spare | None
    ) -> None:
        self._spare = spare
        self.told = Told(plan, interpreter)
        self._plan = plan
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._accepted = False

    async def in_child(self, child: Child, is_spare: bool) -> ProbeReport | None:
        """The report of a child that is stopped afterwards; None of a spare one that hasn't taken its orders."""
        output = None
        try:
            done = await self._follow(child, is_spare)
            if done and self._spare is not None:
                output = await child.kill()
                self._spare.bury(child)
        finally:
            if output is None:
                # Shielded, so that a second cancellation can't leave the child behind.
                output = await asyncio.shield(asyncio.ensure_future(child.stop()))
        if is_spare and not self._accepted:
            return None
        return self.told.report(output, time.monotonic() - self._started)

    async def _follow(self, child: Child, is_spare: bool) -> bool:
        """Take the child's messages until it is done, gone, or out of time. Whether it says that it is done."""
        if is_spare:
            child.send(orders(self._plan))
        deadline = time.monotonic() + (_ANSWER_LIMIT_S if is_spare else IMPORT_LIMIT_S)
        while True:
            try:
                message = await _message(child, deadline - time.monotonic())
            except (asyncio.TimeoutError, StopAsyncIteration) as error:
                self.told.ended(await child.ended(timed_out=not isinstance(error, StopAsyncIteration)))
                return False
            kind = message["kind"]
            if kind == "stage":
                self._on_progress(message["text"])
            elif kind == "prepared":
                child.send(orders(self._plan))
            elif kind == "accepted":
                self._accepted = True
                deadline = time.monotonic() + IMPORT_LIMIT_S  # Lightning may be left to import
            elif kind == "ready":
                self._started = time.monotonic()
                deadline = self._started + self._plan.options.time_limit_s + _GRACE_S
            self.told.take(message)
            if kind == "done":
                return True


async def _message(child: Child, seconds: float) -> dict[str, Any]:
    """A child's next message. Raises TimeoutError where none comes in time, StopAsyncIteration where there are no more.

    Up to Python 3.11 `asyncio.wait_for` would lose a cancellation that comes together with the message.
    """
    reading = asyncio.ensure_future(child.messages.__anext__())
    try:
        await asyncio.wait({reading}, timeout=max(0.0, seconds))
        if not reading.done():
            raise asyncio.TimeoutError
        return reading.result()
    finally:
        if not reading.done():
            reading.cancel()
            await asyncio.wait({reading})


def orders(plan: ProbePlan) -> dict[str, Any]:
    """The one line that the child reads (`worker/orders.py` is its other side)."""
    return {
        "working_directory": str(plan.working_directory),
        "path": str(plan.target.path),
        "text": plan.target.text,
        "qualname": plan.target.qualname,
        "line": plan.line,
        "hint": plan.hint,
        "time_limit_s": plan.options.time_limit_s,
        "memory_limit_mb": plan.options.memory_limit_mb,
        "device": plan.options.device,
        "elsewhere": dict(plan.elsewhere),
    }
