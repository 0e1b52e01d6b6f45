"""Run a plan in a child process and turn what it streams into a report. Whatever the child does, a report
comes back.

The child is `worker/`, loaded by path under a private name, so that nothing of ours is on the user's
`sys.path`.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradsense.probe.child import Child
from gradsense.probe.plan import ProbePlan
from gradsense.probe.report import ProbeReport
from gradsense.probe.told import Told

_IMPORT_LIMIT_S = 120.0  # a cold disk can take a minute over torch; the user's own limit starts after it
_GRACE_S = 2.0  # when its time is up the child tells where it hangs; past this it is not waited for


async def run_probe(plan: ProbePlan, interpreter: Path, on_progress: Callable[[str], None]) -> ProbeReport:
    """Run `plan` under `interpreter` and report. `on_progress` gets a few words at each stage.

    Cancelling the task kills the child with all its children. Raises nothing of its own: crashes, limits and
    a missing torch are reports with `error` set.
    """
    started = time.monotonic()
    told = Told(plan, interpreter)
    try:
        child = await Child.start(interpreter, plan.working_directory, _environment(plan))
    except (OSError, ValueError) as error:
        told.cannot_start(error)
        return told.report("", time.monotonic() - started)
    try:
        started = await _follow(child, plan, told, on_progress) or started
    finally:
        # Shielded, so that a second cancellation can't leave the child behind.
        output = await asyncio.shield(asyncio.ensure_future(child.stop()))
    return told.report(output, time.monotonic() - started)


async def _follow(child: Child, plan: ProbePlan, told: Told, on_progress: Callable[[str], None]) -> float | None:
    """Take the child's messages until it is done, gone, or out of time. Gives the moment its work began."""
    ready: float | None = None
    token = secrets.token_hex(8)
    child.send(json.dumps(orders(plan, token)).encode())
    lines = child.lines(token.encode())
    deadline = time.monotonic() + _IMPORT_LIMIT_S
    while True:
        try:
            line = await asyncio.wait_for(lines.__anext__(), deadline - time.monotonic())
        except asyncio.TimeoutError:
            told.ended(await child.ended(timed_out=True))
            return ready
        except StopAsyncIteration:
            told.ended(await child.ended(timed_out=False))
            return ready
        message = json.loads(line)
        kind = message["kind"]
        if kind == "stage":
            on_progress(message["text"])
        elif kind == "ready":
            ready = time.monotonic()
            deadline = ready + plan.options.time_limit_s + _GRACE_S
        told.take(message)
        if kind == "done":
            return ready


def orders(plan: ProbePlan, token: str) -> dict[str, Any]:
    """The one line that the child reads (`worker/orders.py` is its other side)."""
    return {
        "token": token,
        "path": str(plan.target.path),
        "text": plan.target.text,
        "qualname": plan.target.qualname,
        "line": plan.line,
        "hint": plan.hint,
        "time_limit_s": plan.options.time_limit_s,
        "memory_limit_mb": plan.options.memory_limit_mb,
        "device": plan.options.device,
    }


def _environment(plan: ProbePlan) -> dict[str, str]:
    """Ours, as the user's own run would have it, less what only our own process needs."""
    environment = dict(os.environ)
    environment["TORCHDYNAMO_DISABLE"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    if not plan.options.device.startswith("cuda"):
        environment["CUDA_VISIBLE_DEVICES"] = ""
    ours = str(Path(__file__).parents[2])  # a bundled server is started with its own libraries on PYTHONPATH
    theirs = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != ours]
    environment.pop("PYTHONPATH", None)
    if theirs:
        environment["PYTHONPATH"] = os.pathsep.join(theirs)
    return environment
