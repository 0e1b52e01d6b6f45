"""The private way out, and what keeps the user's code off it.

Standard output was the channel when the process started. It is moved to a descriptor of its own; what the
user's code prints, on whatever level, then goes to standard error, which the parent captures.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
from typing import Any, NoReturn

_MOST_FORKS = 64  # data loaders start a handful; a fork in a loop takes the machine down


class Channel:
    """Messages to the parent. Only the process that made the channel can send; a fork of it ends instead."""

    def __init__(self, token: str) -> None:
        """Takes standard output over: from here on what user code prints goes to standard error."""
        self._descriptor = os.dup(1)  # not inheritable: a program that user code starts never sees it
        self._owner = os.getpid()
        self._token = token.encode()
        self._forks = 0
        os.dup2(2, 1)

    def send(self, kind: str, **values: Any) -> None:
        """Send one message. In a fork this ends the process: its copy of our stack has nothing to report."""
        if os.getpid() != self._owner:
            os._exit(0)
        line = self._token + json.dumps({"kind": kind, **values}).encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]

    def stage(self, text: str) -> None:
        """Say what comes next, in a few words."""
        self.send("stage", text=text)

    def last_stage(self, text: str) -> None:
        """The stage after which nothing is missing: what was told before stands, whatever becomes of it."""
        self.send("part", name="settled", value=True)
        self.stage(text)

    def guard(self, time_limit_s: float) -> None:
        """From here on: a crash or the end of the time leaves its frames on the channel, forks are off it."""
        faulthandler.enable(file=self._descriptor)
        faulthandler.dump_traceback_later(time_limit_s, exit=True, file=self._descriptor)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._count_fork, after_in_child=self._leave)

    def finish(self) -> NoReturn:
        """Say that everything is told, and end without running what user code has registered for the end."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # user code may have put anything in their place
                stream.flush()
        with contextlib.suppress(OSError):
            os.write(2, self._token)  # the end of what was printed: the parent need not wait for ours
        self.send("done")
        os._exit(0)

    def _count_fork(self) -> None:
        self._forks += 1
        if self._forks > _MOST_FORKS:
            self.send("error", code="forks", text=f"It started {_MOST_FORKS} processes and was stopped.")
            self.finish()

    def _leave(self) -> None:
        self._forks = _MOST_FORKS - 8  # a child of a child has little left to start
        os.dup2(2, self._descriptor)


def read_line(descriptor: int) -> dict[str, Any]:
    """The parent's next line. Ends the process if the parent went away before it said anything.

    Unbuffered: the parent doesn't write its second line before it has an answer to the first.
    """
    got = bytearray()
    while not got.endswith(b"\n"):
        chunk = os.read(descriptor, 2**16)
        if not chunk:
            sys.exit(0)
        got += chunk
    told: dict[str, Any] = json.loads(got)
    return told
