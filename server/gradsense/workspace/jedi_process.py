"""The jedi process, as the session sees it: started when first asked, killed past its budget."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gradsense.snapshot import Answer, CallResult, ClassAncestry

_WORKER = Path(__file__).with_name("jedi_worker.py")

FIRST_BUDGET = 20.0
"""Seconds of the process's time for its first answer: it imports jedi, and parses where nothing is cached."""
BUDGET = 10.0
"""Seconds of its time for each further answer. What others do on the machine changes no answer, within bounds:"""
WAIT = 6.0
"""how many times as long may pass by the clock."""
ATTEMPTS = 3
"""Processes that may be lost in a row before the session does without."""
_TIME_IS_UP = -signal.SIGPROF if hasattr(signal, "SIGPROF") else None
"""What the process ends with that has worked for as long as it may. Windows has no such signal."""
_LONGEST_LINE = 16 * 1024 * 1024


class Told(NamedTuple):
    """An answer, None where there is none, and what it took to find out."""

    answer: Answer
    files: tuple[str, ...] = ()
    """The files that were read for it."""
    seconds: float = 0.0
    lost: bool = False
    """Whether there is no answer because the process died, or nothing came of it by the clock."""
    spent: bool = False
    """Whether there is no answer because the process has worked on it for as long as it may."""


class JediProcess:
    """Answers what only the installed packages' sources tell. One question at a time."""

    def __init__(self, packages: Sequence[Path], cache: Path) -> None:
        """`packages` are the `site-packages` folders of the user's environment: read, never executed. `cache` is where
        jedi keeps what it has parsed, if that can be written."""
        self._packages = tuple(packages)
        self._cache = cache
        self._process: asyncio.subprocess.Process | None = None
        self._lost = 0
        self._turn = asyncio.Lock()

    async def ask(self, question: ClassAncestry | CallResult) -> Told:
        """What there is to tell within the budget. The seconds are those that the process has worked for it."""
        if not self._packages:
            return Told(None)
        if self._lost >= ATTEMPTS:
            return Told(None, lost=True)
        async with self._turn:
            budget = BUDGET if self._process is not None else FIRST_BUDGET
            try:
                return await self._asked(question, budget)
            except BaseException as error:
                # Whatever happened, the process's next line would answer this question, not the next one.
                await self._kill()
                if not isinstance(error, OSError | ValueError | EOFError | asyncio.TimeoutError):
                    raise
                self._lost += 1
                return Told(None, seconds=budget, lost=True)

    async def _asked(self, question: ClassAncestry | CallResult, budget: float) -> Told:
        if self._process is not None and self._process.returncode is not None:
            await self._kill()  # Somebody has, in between: that loses no question.
        if self._process is None:
            self._process = await self._start()
        reading, writing = self._process.stdout, self._process.stdin
        assert reading is not None
        assert writing is not None
        kind = "ancestry" if isinstance(question, ClassAncestry) else "result"
        order = {"kind": kind, "name": question.qualified, "seconds": budget}
        writing.write(json.dumps(order).encode() + b"\n")
        await writing.drain()
        line = await asyncio.wait_for(reading.readline(), budget * WAIT)
        if not line:
            if await asyncio.wait_for(self._process.wait(), budget * WAIT) == _TIME_IS_UP:
                self._process = None
                return Told(None, seconds=budget, spent=True)
            raise EOFError
        self._lost = 0
        told = json.loads(line)
        files, seconds = told.get("files"), told.get("seconds")
        return Told(
            _answer(told.get("answer")),
            tuple(map(str, files if isinstance(files, list) else ())),
            float(seconds) if isinstance(seconds, int | float) else 0.0,
        )

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            folder = self._cache
        except OSError:
            # It is slower then, and says the same. A folder for temporary files may be missing just as well.
            folder = _WORKER.parent
        options = {
            "libraries": _library_folders(),
            "sys_path": [*map(str, self._packages), sysconfig.get_path("stdlib")],
            "cache": str(self._cache),
        }
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",  # no `.pth` file, no `sitecustomize` of the environment that the server is installed in
            "-X",
            "utf8",
            str(_WORKER),
            json.dumps(options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,  # never the user's folder
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            limit=_LONGEST_LINE,
        )

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._kill()


def _library_folders() -> list[str]:
    """Where jedi, parso and GradSense are, found without importing them: without `site`, Python does not see them."""
    folders: dict[str, None] = {}
    for name in ("jedi", "parso", "gradsense"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folders[str(Path(spec.origin).parent.parent)] = None
    return list(folders)


def _answer(answer: Any) -> Answer:
    if isinstance(answer, list) and all(isinstance(name, str) for name in answer):
        return tuple(answer)
    return None
