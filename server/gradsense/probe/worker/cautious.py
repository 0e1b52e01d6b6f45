"""Run code of the user's that only serves to find inputs, and so must cost next to nothing: no file is read or written,
nothing is fetched or started, nothing new of the user's or of another package is imported, and time is short."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from .where import Places

_CODE = (".py", ".pyc", ".so", ".pyd")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_HARMLESS = frozenset(
    ("os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.putenv", "os.unsetenv", "os.getxattr", "os.listxattr")
)
_REFUSED = ("ftplib.", "http.", "os.", "pty.", "shutil.", "smtplib.", "socket.", "sqlite3.", "subprocess.", "tempfile.",
            "urllib.", "webbrowser.")  # fmt: skip
_AGAIN_S = 0.1


class Withheld(PermissionError):
    """The code wanted something that inputs aren't worth."""


class Overdue(BaseException):
    """Time is up; raised through the user's code, past its `except Exception`."""


class Caution:
    """Seconds that all code run `active` may take together."""

    def __init__(self, places: Places, seconds: float) -> None:
        self._places = places
        self._left = seconds

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Raises `Overdue` within when there is no time left, or never was."""
        if self._left <= 0:
            raise Overdue
        _install()
        began = time.monotonic()
        _watched.append(self)
        try:
            with _alarm(self._left):
                yield
        finally:
            _watched.pop()
            self._left -= time.monotonic() - began

    def check(self, event: str, args: tuple[Any, ...]) -> None:
        """Raise `Withheld`, or an error of import, for what Python is about to do."""
        if event == "open":
            if not self._may_open(*args):
                raise Withheld(f"{args[0]} is left alone")
        elif event == "import":
            if not self._may_import(args[0]):
                raise ModuleNotFoundError(f"{args[0]} is left alone", name=args[0])
        elif event.startswith(_REFUSED) and event not in _HARMLESS:
            raise Withheld(f"{event} is left alone")

    def _may_open(self, path: Any, mode: str | None, flags: int) -> bool:
        if isinstance(path, int):
            return True
        if flags & _WRITING or any(each in (mode or "") for each in "wax+"):
            return False
        name = os.fsdecode(path)
        return name.endswith(_CODE) or not self._places.is_users(name)

    def _may_import(self, name: str) -> bool:
        """What belongs to a library that is there already, or to Python."""
        top = name.partition(".")[0]
        known = sys.modules.get(top)
        if known is None:
            return _is_pythons(top)
        file = getattr(known, "__file__", None)
        return file is None or not self._places.is_users(file)


def _is_pythons(name: str) -> bool:
    names = getattr(sys, "stdlib_module_names", None)
    if names is not None:
        return name in names
    spec = importlib.util.find_spec(name)
    origin = str(spec.origin) if spec is not None else ""
    own = sysconfig.get_paths()["stdlib"] + os.sep
    return origin in ("built-in", "frozen") or (origin.startswith(own) and "-packages" not in origin)


_watched: list[Caution] = []
_installed: list[bool] = []


def _install() -> None:
    """Hooks for audits can't be taken away again: there is one, which asks who is active."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_audit)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _watched and threading.current_thread() is threading.main_thread():
        _watched[-1].check(event, args)


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise `Overdue` after some seconds; where there is no such alarm, the probe's own limit has to do."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise Overdue

    before = signal.signal(signal.SIGALRM, ring)
    # Again and again: the first one may be lost in a destructor.
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
