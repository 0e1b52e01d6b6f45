"""Run a script under a launcher and make one report of what its ranks stream. Whatever they do, a report comes back.

The other side of `worker/rank_channel.py`: marked lines on the launcher's standard output, the rest of which, with its
standard error, is what the user's code has printed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import os
import re
import secrets
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradsense.probe.child import Kept, environment_for
from gradsense.probe.launcher import command, digest_of
from gradsense.probe.plan import ProbePlan
from gradsense.probe.ranks import Rank, compare_ranks, error_of, merged, states, unlike_passes
from gradsense.probe.report import ProbeReport
from gradsense.probe.told import Told

_START_LIMIT_S = 300.0  # for the launcher to get its machines, and for torch to be imported there
_GRACE_S = 4.0  # for the other ranks to tell where they stand, when one has told
_AFTER_ERROR_S = 1.5  # for the other ranks to raise what they raise
_FAREWELL_S = 1.5  # for a launcher to end what it has started elsewhere
_LAST_WORDS_S = 0.3  # for what was printed before to arrive
_LONGEST_LINE = 2**20


async def run_launched(
    plan: ProbePlan, interpreter: Path, launcher: str, on_progress: Callable[[str], None]
) -> ProbeReport:
    """Run the script of `plan` on the ranks that `launcher` starts, and report. `on_progress` gets a few words at each
    stage.

    Cancelling the task ends all ranks. Raises `ProbeError` for a launcher that is no command; all else is a report with
    `error` set.
    """
    token = secrets.token_hex(8)
    orders = {
        "working_directory": str(plan.working_directory),
        "path": str(plan.target.path),
        "qualname": plan.target.qualname,
        "line": plan.line,
        "hint": plan.hint,
        "time_limit_s": plan.options.time_limit_s,
        "memory_limit_mb": plan.options.memory_limit_mb,
        "device": "launcher",
    }
    words = command(launcher, interpreter, {"token": token, "orders": orders, "digest": digest_of(plan.target.text)})
    environment = environment_for("launcher")
    # A launcher that was installed beside torch is found as in an activated environment.
    environment["PATH"] = os.pathsep.join([str(interpreter.parent), environment.get("PATH", os.defpath)])
    run = _Launch(plan, interpreter, token, on_progress)
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=str(plan.working_directory),
            env=environment,
            start_new_session=sys.platform != "win32",
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return run.report(f"The launcher `{words[0]}` can't be started: {reason}. Install it, or give its path.")
    errors = asyncio.ensure_future(run.keep(process.stderr))
    try:
        await run.follow(process)
        await asyncio.wait({errors}, timeout=_LAST_WORDS_S)
        errors.cancel()  # what a launcher says of being ended is our doing
    finally:
        # Shielded, so that a second cancellation can't leave ranks behind.
        await asyncio.shield(asyncio.ensure_future(_end(process, errors)))
    return run.report(run.silence(words[0], process.returncode))


async def _end(process: asyncio.subprocess.Process, errors: asyncio.Future[None]) -> None:
    """End the launcher, which may have to end ranks elsewhere, then all of its group. Ranks outside of it end when they
    find that nobody reads what they write."""
    for number, seconds in ((signal.SIGTERM, _FAREWELL_S), (getattr(signal, "SIGKILL", signal.SIGTERM), 1.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                process.kill()
            elif process.returncode is None or number != signal.SIGTERM:
                os.killpg(process.pid, number)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
    errors.cancel()
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


class _Launch:
    """A script on its ranks."""

    def __init__(self, plan: ProbePlan, interpreter: Path, token: str, on_progress: Callable[[str], None]) -> None:
        self._plan = plan
        self._interpreter = interpreter
        self._on_progress = on_progress
        self._lines = _Lines(token)
        self._printed = Kept(token.encode())
        self._ranks: dict[str, Rank] = {}
        self._failed: list[Rank] = []
        self._started = time.monotonic()
        self._stage = ""

    async def keep(self, stream: asyncio.StreamReader | None) -> None:
        """What is printed to standard error."""
        assert stream is not None
        while chunk := await stream.read(2**16):
            self._printed.add(chunk)

    async def follow(self, process: asyncio.subprocess.Process) -> None:
        """Take what the ranks send until all have told, or gone, or the time is over."""
        assert process.stdout is not None
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            try:
                chunk = await asyncio.wait_for(process.stdout.read(2**16), deadline - time.monotonic())
            except asyncio.TimeoutError:
                return
            if not chunk:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(process.wait(), 1.0)
                return
            for name, message in self._lines.read(chunk):
                kind = self._take(name, message)
                now = time.monotonic()
                if kind == "ready":
                    self._started = now
                    deadline = now + self._plan.options.time_limit_s + _GRACE_S
                elif kind == "failed":
                    deadline = min(deadline, now + _AFTER_ERROR_S)
                elif kind == "hangs":
                    deadline = min(deadline, now + _GRACE_S)
            if self._lines.other:
                self._printed.add(bytes(self._lines.other))
                self._lines.other.clear()
            if self._have_all_settled():
                return

    def _take(self, name: str, message: dict[str, Any]) -> str:
        """Note a message, and give what it means for the time that is left."""
        rank = self._ranks.setdefault(name, Rank())
        kind = message["kind"]
        if kind == "who":
            rank.host = message["host"]
            if message["rank"] is not None:
                rank.rank, rank.world = message["rank"], message["world"]
        elif kind == "stage":
            rank.stage = str(message["text"])
            if rank.stage != self._stage:
                self._stage = rank.stage
                self._on_progress(rank.stage)
        elif kind == "part":
            rank.parts[message["name"]] = message["value"]
        elif kind == "ready":
            rank.ready = True
            return "ready"
        elif kind == "done":
            rank.done = True
        elif kind in ("trace", "gone"):
            rank.lines = [*message["lines"]] or rank.lines
            rank.gone = kind == "gone"
            if rank.gone and not rank.done and rank.error is None:
                self._failed.append(rank)
                return "failed"
            return "hangs" if rank.hangs else ""
        elif kind == "error":
            if message["code"] == "no-torch":
                there = f"{message['interpreter']} on {rank.host} (Python {message['version']})"
                text = f"No torch in {there}: {message['text']}. End the launcher's command in a Python that has it."
                message = {**message, "text": text}
            rank.error = message
            self._failed.append(rank)
            return "failed"
        return ""

    def _have_all_settled(self) -> bool:
        ranks = list(self._ranks.values())
        expected = max([len(ranks), *(rank.world or 1 for rank in ranks)])
        return bool(ranks) and sum(rank.settled for rank in ranks) >= expected

    def silence(self, launcher: str, exit_code: int | None) -> str | None:
        """Why there is nothing to compare, where ranks that should have reported haven't."""
        if not self._ranks:
            if exit_code is None or exit_code < 0:
                what = f"No rank has reported within {_START_LIMIT_S:.3g} s"
                return f"{what}. Look whether `{launcher}` waits for something."
            what = f"`{launcher}` ended with exit code {exit_code} before a rank reported"
            return f"{what}. Look at what it printed, and whether {self._interpreter} is there where it starts ranks."
        expected = max(rank.world or 1 for rank in self._ranks.values())
        missing = expected - len(self._ranks)
        if missing > 0 and not self._failed and not any(rank.hangs for rank in self._ranks.values()):
            return f"{missing} of {expected} ranks never reported. Look whether `{launcher}` starts them all."
        return None

    def report(self, error: str | None) -> ProbeReport:
        """All of it; `error`, if given, is what went wrong with the launcher."""
        target = self._plan.target
        ranks = self._by_number()
        told = Told(self._plan, self._interpreter)
        measured = {number: rank for number, rank in ranks.items() if "measured" in rank.parts}
        lead = next(iter(measured.values()), next(iter(ranks.values()), Rank()))
        for name, value in lead.parts.items():
            value = merged(value, measured) if name == "parameters" else value
            told.take({"kind": "part", "name": name, "value": value})
        report = told.report(self._printed.text(), time.monotonic() - self._started)
        parameters, findings = compare_ranks(target, report.parameters, measured)
        how = states(target, ranks)
        numbers = {id(rank): number for number, rank in ranks.items()}
        order = [numbers[id(rank)] for rank in self._failed]
        failure = error_of(how, order, self._plan.options.time_limit_s)
        if error is None and failure is None and ranks and not all(rank.settled for rank in ranks.values()):
            error = "The launcher ended before all ranks had taken their steps. Look at what it printed."
        if failure is not None and not findings:
            findings = unlike_passes(target, ranks)
        return replace(
            report,
            ok=error is None and failure is None,
            error=failure.words if failure is not None else error,
            error_place=failure.place if failure is not None else None,
            parameters=parameters,
            findings=(*findings, *report.findings),
            device=f"{len(ranks)} rank{'' if len(ranks) == 1 else 's'}",
            ranks=how,
        )

    def _by_number(self) -> dict[int, Rank]:
        """The ranks, in order; those that don't know their number get what is free."""
        taken = {rank.rank for rank in self._ranks.values()}
        free = (number for number in range(len(self._ranks) * 2) if number not in taken)
        numbered: dict[int, Rank] = {}
        for rank in self._ranks.values():
            number = rank.rank if rank.rank is not None and rank.rank not in numbered else next(free)
            numbered[number] = rank
        return dict(sorted(numbered.items()))


class _Lines:
    """Cuts a launcher's output into messages, and what else is printed there (`other`)."""

    def __init__(self, token: str) -> None:
        form = rb"%s (?P<frame>(\w+) (\d+) (\d+)/(\d+) ([A-Za-z0-9+/=]+)) (?P<sum>[0-9a-f]{8})"
        self._line = re.compile(form % token.encode())
        self._pending = bytearray()
        self._parts: dict[tuple[str, int], dict[int, bytes]] = {}
        self.other = bytearray()

    def read(self, chunk: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """The messages that `chunk` completes, each with its sender."""
        self._pending += chunk
        *lines, rest = self._pending.split(b"\n")
        self._pending = bytearray(rest[:_LONGEST_LINE])
        for line in lines:
            match = self._line.search(line)
            if match is None or zlib.crc32(match["frame"]) != int(match["sum"], 16):
                self.other += line + b"\n"
                continue
            self.other += b"" if re.fullmatch(rb"\W*\w*\W*", line[: match.start()]) else line[: match.start()]
            sender, number, index, count = match[2].decode(), int(match[3]), int(match[4]), int(match[5])
            parts = self._parts.setdefault((sender, number), {})
            parts[index] = match[6]
            if len(parts) == count:
                del self._parts[sender, number]
                with contextlib.suppress(ValueError, zlib.error, binascii.Error):
                    content = b"".join(parts[each] for each in range(count))
                    yield sender, json.loads(zlib.decompress(base64.b64decode(content)))
