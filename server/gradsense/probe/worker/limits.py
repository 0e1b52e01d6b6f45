"""Limits that hold even when user code holds the interpreter: memory, and the end of the parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1


def die_with_parent(pipe: int) -> int:
    """End this process when the parent ends, however it ends. Gives the descriptor on which the next line of the
    parent's arrives; `pipe`, the standard input, is empty from here on.

    Where there are process groups the parent has put a guard into ours, which kills the group: a thread would wait for
    ever behind a loop in C that keeps the interpreter locked. On Linux the kernel kills us, too, should user code have
    killed the guard.
    """
    if hasattr(os, "fork"):
        line = os.dup(pipe)
        if sys.platform == "linux":
            with contextlib.suppress(OSError, AttributeError):
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, pipe)
        os.close(nothing)
        return line
    line, out = os.pipe()
    threading.Thread(target=_exit_at_end_of, args=(pipe, out), daemon=True).start()
    return line


def _exit_at_end_of(pipe: int, out: int) -> None:
    """Write what comes on `pipe`, up to its first line break, to `out`; leave at the end of `pipe`."""
    complete = False
    while chunk := os.read(pipe, 2**16):
        if complete:
            continue
        complete = chunk.endswith(b"\n")
        with contextlib.suppress(OSError):
            while chunk:
                chunk = chunk[os.write(out, chunk) :]
        if complete:
            os.close(out)
    os._exit(0)


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """What is allocated meanwhile doesn't count as the user's."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = _data_bytes()
    most, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    try:
        yield
    finally:
        if most != resource.RLIM_INFINITY:
            wanted = most + max(0, _data_bytes() - before)
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def limit_memory(megabytes: int) -> None:
    """Let this process, and each it starts, have `megabytes` MiB of data more than now.

    Past that an allocation fails inside Python and torch, which raise: we live to tell the line. Where the
    system can't limit data (macOS, Windows) a thread watches the resident size instead and ends the process.
    """
    if sys.platform == "linux":
        import resource

        now = _data_bytes()
        with contextlib.suppress(ValueError, OSError):
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            wanted = now + megabytes * 2**20
            resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    elif sys.platform != "win32":
        threading.Thread(target=_watch_size, args=(megabytes * 2**20,), daemon=True).start()


OUT_OF_MEMORY = 137  # the exit code of a process that the watching thread ended


def _watch_size(most: int) -> None:
    import resource
    import time

    unit = 1 if sys.platform == "darwin" else 1024
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - start < most:
        time.sleep(0.05)
    os._exit(OUT_OF_MEMORY)


def _data_bytes() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0
