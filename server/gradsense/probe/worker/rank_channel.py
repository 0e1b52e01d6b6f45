"""The way out of one rank of many: marked lines on standard output, which torchrun, srun, ssh and containers pass on.

No descriptor and no environment variable of the parent's reaches a process on another machine; its standard output
does. Several ranks write to the same one, so a message is cut into lines that a pipe takes in one piece, each with its
sender, its number and a check sum. A guard, a process of its own, speaks for a rank that can't: it passes on what
faulthandler writes, tells the rank's end, and ends the rank when nobody reads any more.
"""

from __future__ import annotations

import base64
import contextlib
import faulthandler
import json
import os
import secrets
import select
import signal
import sys
import time
import zlib
from typing import Any, NoReturn

from .channel import Channel

_PART = 600  # bytes of a line's content: with its frame well below the 4096 that a pipe takes in one piece
_OF_GUARD = 1_000_000  # where the guard's numbers begin
_SETTLED_MS = 300  # a trace is written in many pieces
_LATEST_S = 240.0  # to import torch and, at the end, to wait for the other ranks; past the time limit


class RankChannel(Channel):
    """A `Channel` that needs nothing but standard output. It waits where the other one ends the process: other ranks
    may still need this one, and the parent ends all of them together."""

    def __init__(self, token: str, time_limit_s: float) -> None:
        super().__init__(token)
        self._name = secrets.token_hex(4)
        self._number = 0
        self._latest = time.monotonic() + time_limit_s + _LATEST_S
        self._trace = self._stand_guard()

    def send(self, kind: str, **values: Any) -> None:
        """Send one message. In a fork this ends the process, as it does in any channel."""
        if os.getpid() != self._owner:
            os._exit(0)
        self._number += 1
        self._write(self._number, {"kind": kind, **values})

    def _write(self, number: int, message: dict[str, Any]) -> None:
        content = base64.b64encode(zlib.compress(json.dumps(message).encode()))
        parts = [content[start : start + _PART] for start in range(0, len(content), _PART)]
        for index, part in enumerate(parts):
            frame = f"{self._name} {number} {index}/{len(parts)} ".encode() + part
            line = b"%s %s %08x\n" % (self._token, frame, zlib.crc32(frame))
            while line:
                line = line[os.write(self._descriptor, line) :]

    def guard(self, time_limit_s: float) -> None:
        """From here on: a crash, and the end of the time, leave their frames with the guard."""
        faulthandler.enable(file=self._trace)
        faulthandler.dump_traceback_later(time_limit_s, file=self._trace)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._count_fork, after_in_child=self._leave)

    def finish(self) -> NoReturn:
        """Say that everything is told, and wait for the parent to end all ranks."""
        faulthandler.cancel_dump_traceback_later()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # user code may have put anything in their place
                stream.flush()
        self.send("done")
        while time.monotonic() < self._latest:
            time.sleep(1.0)
        os._exit(0)

    def _leave(self) -> None:
        super()._leave()
        os.dup2(2, self._trace)

    def _stand_guard(self) -> int:
        """Start the guard; gives the descriptor that takes traces, whose end is the rank's end."""
        worker = os.getpid()
        read, write = os.pipe()
        between = os.fork()
        if between:
            os.waitpid(between, 0)  # forked twice, so that user code which waits for its children never meets the guard
            os.close(read)
            return write
        if os.fork():
            os._exit(0)
        os.close(write)
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        with contextlib.suppress(OSError):  # whatever happens to it, it never goes on with the worker's own work
            self._watch(read, worker)
        os._exit(0)

    def _watch(self, read: int, worker: int) -> None:
        poll = select.poll()
        poll.register(read, select.POLLIN)
        poll.register(self._descriptor, 0)  # tells errors alone: nobody reads any more
        trace = bytearray()
        number = _OF_GUARD
        while True:
            events = dict(poll.poll(_SETTLED_MS if trace else 1000))
            if self._descriptor in events or time.monotonic() > self._latest:
                _kill(worker)
                return
            if read in events:
                chunk = os.read(read, 2**16)
                trace += chunk
                if chunk:
                    continue
            elif not trace:
                continue
            gone = read in events
            number += 1
            lines = trace.decode("utf-8", "replace").splitlines()[:400]
            self._write(number, {"kind": "gone" if gone else "trace", "lines": lines})
            if gone:
                return
            trace.clear()


def _kill(worker: int) -> None:
    """End a rank, with what it has started if it leads its process group."""
    with contextlib.suppress(OSError):
        if os.getpgid(worker) == worker:
            os.killpg(worker, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
