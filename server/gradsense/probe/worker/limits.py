"""Limits that hold even when user code holds the interpreter: memory, and the end of the parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def die_with_parent(pipe: int) -> int:
    """End this process and everything it started when the parent ends, however it ends. Gives the descriptor on which
    the next line of the parent's arrives.

    `pipe` is the descriptor the parent holds open. A process of our own group waits for its end and kills the
    group: a thread would wait for ever behind a loop in C that keeps the interpreter locked. As it is the one that
    reads the pipe, it also passes that line on. On Linux the kernel kills us too, should a child of the parent's have
    inherited the pipe.
    """
    parent = os.getppid()
    line, out = os.pipe()
    if not hasattr(os, "fork"):
        threading.Thread(target=_exit_at_end_of, args=(pipe, out), daemon=True).start()
        return line
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
        _guard(pipe, out)
    os.close(out)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, pipe)
    os.close(nothing)
    return line


def _guard(pipe: int, out: int) -> None:
    for descriptor in (1, 2):
        os.close(descriptor)
    os.closerange(3, out)
    os.closerange(out + 1, 256)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _pass_on(pipe, out)
    os.killpg(0, signal.SIGKILL)


def _exit_at_end_of(pipe: int, out: int) -> None:
    _pass_on(pipe, out)
    os._exit(0)


def _pass_on(pipe: int, out: int) -> None:
    """Write what comes on `pipe`, up to its first line break, to `out`; return at the end of `pipe`."""
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
