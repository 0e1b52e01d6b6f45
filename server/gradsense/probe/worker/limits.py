"""Limits that hold even when user code holds the interpreter: memory, and the end of the parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def die_with_parent(pipe: int) -> None:
    """End this process and everything it started when the parent ends, however it ends.

    `pipe` is the descriptor the parent holds open. A process of our own group waits for its end and kills the
    group: a thread would wait for ever behind a loop in C that keeps the interpreter locked. On Linux the
    kernel kills us too, should a child of the parent's have inherited the pipe.
    """
    parent = os.getppid()
    if not hasattr(os, "fork"):
        threading.Thread(target=_exit_at_end_of, args=(pipe,), daemon=True).start()
        return
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)
    between = os.fork()
    if between:
        os.waitpid(between, 0)  # forked twice, so that user code which waits for its children never meets the guard
    elif os.fork():
        os._exit(0)
    else:
        _guard(pipe)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, pipe)
    os.close(nothing)


def _guard(pipe: int) -> None:
    for descriptor in (1, 2):
        os.close(descriptor)
    os.closerange(3, 256)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(pipe, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


def _exit_at_end_of(pipe: int) -> None:
    while os.read(pipe, 4096):
        pass
    os._exit(0)


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
