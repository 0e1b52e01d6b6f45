"""The child process: start it, read what it says, kill it with all its children."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WORKER = Path(__file__).parent / "worker"

# Loads the worker by path under a private name. The first line drops the current directory, so that no file
# of the
# user's stands in for the standard library while the worker itself is being imported.
_BOOTSTRAP = """\
import sys; sys.path[:1] = []
import importlib.util as util
spec = util.spec_from_file_location("_gradsense_probe", sys.argv[1] + "/__init__.py",
                                    submodule_search_locations=[sys.argv[1]])
sys.modules[spec.name] = module = util.module_from_spec(spec); spec.loader.exec_module(module)
sys.dont_write_bytecode = True
from _gradsense_probe.main import main
main()
"""

# Becomes the interpreter, and leaves a guard in its process group from before its first instruction: at the end of the
# pipe that we hold, which comes however we end, the guard kills the group. Forked twice, so that user code which waits
# for its children never meets it.
_GUARDED = '((read -r _ <"$0"; kill -s KILL 0) </dev/null >/dev/null 2>&1 &); exec "$@"'

_LINE_LIMIT = 64 * 2**20  # a message; the largest measured, a model of 20,000 parameters, is 9 MiB
_HEAD, _TAIL = 16 * 2**10, 48 * 2**10  # bytes kept of what the user's code prints
IMPORT_LIMIT_S = 120.0  # a cold disk can take a minute over torch; the user's own limit starts after it
_LAST_WORDS_S = 1.0  # how long output and exit status may take once the process group has been killed


@dataclass(frozen=True)
class Ending:
    """How the child ended: exit code or, negative, the signal; whether we stopped it; the frames it left
    behind."""

    exit_code: int | None
    timed_out: bool
    trace: tuple[str, ...]


class Child:
    """A running worker. `stop` must be awaited, whatever happened before."""

    def __init__(self, process: asyncio.subprocess.Process, guarded: int | None) -> None:
        """`guarded` is the descriptor whose end tells the child's guard that we are gone."""
        self._process = process
        self._guarded = guarded
        self._token = secrets.token_hex(8)
        self.messages = self._messages()
        """What it says, to the end of its channel."""
        self._printed = Kept(self._token.encode())
        self._drain = asyncio.ensure_future(self._keep_output())
        self.trace: list[str] = []

    @classmethod
    async def start(
        cls, interpreter: Path, directory: Path, environment: Mapping[str, str], text: str, folder: Path | None = None
    ) -> Child:
        """Start the worker in `directory`, in a process group of its own. Raises `OSError` if that can't be
        done.

        It imports torch, and what else `text` mentions of the libraries it knows, with `folder` first on its path. Then
        it says `prepared`, and waits for its orders.
        """
        command = [str(interpreter), "-c", _BOOTSTRAP, str(_WORKER)]
        execute = functools.partial(
            asyncio.create_subprocess_exec,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=str(directory),
            env=dict(environment),
        )
        if sys.platform == "win32":
            child = cls(await execute(*command), None)
        else:
            _check(interpreter)
            theirs, ours = os.pipe()
            guarded = ("/bin/sh", "-c", _GUARDED, f"/dev/fd/{theirs}", *command)
            try:
                child = cls(await execute(*guarded, start_new_session=True, pass_fds=(theirs,)), ours)
            except BaseException:
                os.close(ours)
                raise
            finally:
                os.close(theirs)
        child.send({"token": child._token, "text": text, "folder": None if folder is None else str(folder)})
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    def send(self, line: Mapping[str, Any]) -> None:
        """Hand the child its orders. The pipe stays open afterwards."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(json.dumps(line).encode() + b"\n")

    async def _messages(self) -> AsyncIterator[dict[str, Any]]:
        """Lines without our token are kept as `trace`.

        Only the worker knows the token; the rest is faulthandler's, or user code writing where it should not.
        """
        assert self._process.stdout is not None
        token = self._token.encode()
        pending = bytearray()
        while chunk := await self._process.stdout.read(2**16):
            pending += chunk
            while (end := pending.find(b"\n")) >= 0:
                line = bytes(pending[:end])
                del pending[: end + 1]
                if line.startswith(token):
                    yield json.loads(line[len(token) :])
                elif len(self.trace) < 400:
                    self.trace.append(line[:400].decode("utf-8", "replace"))
            if len(pending) > _LINE_LIMIT:
                return

    async def ended(self, *, timed_out: bool) -> Ending:
        """How it ended. Waits a moment for a process that has just closed its channel."""
        if not timed_out:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._process.wait()), _LAST_WORDS_S)
        return Ending(self._process.returncode, timed_out, tuple(self.trace))

    async def kill(self) -> str:
        """Kill a child that is done, with everything it started, and give what the user's code printed. That the system
        takes its memory back lasts longer than a small probe: `stop` waits for that.
        """
        self._kill()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._printed.complete.wait(), _LAST_WORDS_S)
        return self._printed.text()

    async def stop(self) -> str:
        """Kill the process with everything it started, wait for its end, and give what the user's code printed."""
        self._kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._process.wait(), _LAST_WORDS_S)
        # A grandchild in a session of its own may hold the pipe open for ever.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._drain, _LAST_WORDS_S)
        transport = getattr(self._process, "_transport", None)
        if transport is not None:
            transport.close()
        return self._printed.text()

    def _kill(self) -> None:
        # The guard keeps the group's number from being reused, so this hits no stranger.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._guarded is not None:
            os.close(self._guarded)
            self._guarded = None

    async def _keep_output(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(2**16):
            self._printed.add(chunk)
        self._printed.complete.set()


def _check(interpreter: Path) -> None:
    """Raise the `OSError` of a program that can't be started; the shell in between would keep it to itself."""
    if not os.path.isfile(interpreter):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(interpreter))
    if not os.access(interpreter, os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(interpreter))


def environment_for(device: str = "cpu") -> dict[str, str]:
    """Ours, as the user's own run would have it, less what only our own process needs. No GPU is seen on the `cpu`."""
    environment = dict(os.environ)
    environment["TORCHDYNAMO_DISABLE"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    ours = str(Path(__file__).parents[2])  # a bundled server is started with its own libraries on PYTHONPATH
    theirs = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != ours]
    environment.pop("PYTHONPATH", None)
    if theirs:
        environment["PYTHONPATH"] = os.pathsep.join(theirs)
    return environment


class Kept:
    """The first and the last of a flood of bytes, up to `end`."""

    def __init__(self, end: bytes) -> None:
        self._end = end
        self.complete = asyncio.Event()
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        room = _HEAD - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > 2 * _TAIL:
            surplus = len(self._tail) - _TAIL
            self._dropped += surplus
            del self._tail[:surplus]
        kept = self._tail or self._head
        if self._end in kept[-len(self._end) - len(chunk) :]:
            self.complete.set()

    def text(self) -> str:
        middle = f"\n… {self._dropped} bytes left out …\n".encode() if self._dropped else b""
        whole = bytes(self._head) + middle + bytes(self._tail)
        return whole.partition(self._end)[0].decode("utf-8", "replace")
