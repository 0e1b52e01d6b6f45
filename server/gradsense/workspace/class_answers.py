"""What installed packages define, as jedi reads it: asked once in an environment, and kept from run to run.

An answer is kept with the files that it was read from, or looked for in, each by its time and size, under the names of
everything that is installed: a package that is added, updated or edited has it looked up anew.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from gradsense.snapshot import Answer, CallResult, ClassAncestry
from gradsense.workspace.jedi_process import JediProcess, Told
from gradsense.workspace.store import Store, cache_folder, digest_of, own_digest

Packages = tuple[Path, ...]
"""The `site-packages` folders of an environment."""

ClassQuestion = ClassAncestry | CallResult
KINDS: dict[str, type[ClassAncestry] | type[CallResult]] = {"ancestry": ClassAncestry, "result": CallResult}

FILE_BUDGET = 30.0
"""Seconds of jedi's time that one analysis of a file may take: as much as three questions that end in nothing."""

_SPENT = "times spent"

LookUp = Callable[[Packages, ClassQuestion], Awaitable[Told]]


def kind_of(question: ClassQuestion) -> str:
    """The kind of a question, as jedi's process and the store know it."""
    return "ancestry" if isinstance(question, ClassAncestry) else "result"


class Patience:
    """What is left of the time that the questions of one analysis may take."""

    def __init__(self, seconds: float = FILE_BUDGET) -> None:
        self.left = seconds


class ClassAnswers:
    """Answers by environment: from memory, from the store, and from jedi's process. Belongs to one event loop."""

    def __init__(
        self,
        store: Store | None = None,
        look_up: LookUp | None = None,
        cache: Path | None = None,
        processes: int = 1,
    ) -> None:
        """`store` keeps answers from run to run. `look_up` is who knows more (default: `processes` with jedi at most at
        a time, which keep what they parse in the folder `cache`)."""
        self._store = store
        self._cache = cache
        self._look_up = look_up or self._asked_of_jedi
        self._processes: list[JediProcess] = []
        self._idle: dict[Packages, list[JediProcess]] = {}
        self._room = asyncio.Semaphore(processes)
        self._turns: dict[tuple[Packages, str, str], asyncio.Lock] = {}
        self.forget()

    def forget(self) -> None:
        """Look at the environments anew."""
        self._told: dict[Packages, dict[tuple[str, str], Answer]] = {}
        self._absent: set[tuple[Packages, str, str]] = set()
        self._installed: dict[Packages, str] = {}
        self._roots: dict[Packages, frozenset[str]] = {}
        self._states: dict[str, list[int] | None] = {}

    def known(self, packages: Packages, question: ClassQuestion) -> tuple[bool, Answer]:
        """Whether the answer is known without asking, and the answer."""
        key = (kind_of(question), question.qualified)
        told = self._told.setdefault(packages, {})
        if key in told:
            return True, told[key]
        if self._store is None or (packages, *key) in self._absent:
            return False, None
        kept = self._kept(self._store.get(self._name(packages, *key)))
        if kept is None:
            self._absent.add((packages, *key))
            return False, None
        told[key] = kept.answer
        return True, kept.answer

    def all_known(self, packages: Packages) -> Iterator[tuple[type[ClassAncestry] | type[CallResult], str, Answer]]:
        """Each answer of an environment that this process has come across: kind, name, answer."""
        for (kind, qualified), answer in self._told.get(packages, {}).items():
            yield KINDS[kind], qualified, answer

    async def ask(self, packages: Packages, question: ClassQuestion, patience: Patience) -> Answer:
        """The answer; None also where there is none in time."""
        is_known, answer = self.known(packages, question)
        if is_known:
            return answer
        if patience.left <= 0:
            return None
        told = await self.told(packages, question)
        patience.left -= told.seconds
        return told.answer

    async def told(self, packages: Packages, question: ClassQuestion) -> Told:
        """The answer, and the time that it took to find out. Who asks the same meanwhile gets the same."""
        key = (kind_of(question), question.qualified)
        async with self._turns.setdefault((packages, *key), asyncio.Lock()):
            is_known, answer = self.known(packages, question)
            if is_known:
                return Told(answer)
            told = await self._look_up(packages, question)
            # One that was lost would be lost again, and cost as much: for this session it has no answer.
            self._told.setdefault(packages, {})[key] = told.answer
            if self._store is not None and not told.lost:
                name = self._name(packages, *key)
                entry: dict[str, object] = {"answer": told.answer, "files": self._with_states(told.files)}
                if told.spent:
                    # What was parsed on the way is kept, so another session may come further: once.
                    entry[_SPENT] = _times_spent(self._store.get(name)) + 1
                self._store.put(name, entry)
        self._turns.pop((packages, *key), None)
        return told

    async def _asked_of_jedi(self, packages: Packages, question: ClassQuestion) -> Told:
        if not self._is_there(packages, question.qualified.partition(".")[0]):
            return Told(None)  # To start jedi takes half a second, and it would find nothing.
        async with self._room:
            idle = self._idle.setdefault(packages, [])
            if not idle:
                idle.append(JediProcess(packages, self._cache or cache_folder() / "jedi"))
                self._processes += idle
            process = idle.pop()
            try:
                return await process.ask(question)
            finally:
                idle.append(process)

    def _is_there(self, packages: Packages, root: str) -> bool:
        """Whether a top-level module is one of the standard library, or something of its name is installed."""
        if packages not in self._roots:
            names = (name for folder in packages for name in _listed(folder))
            self._roots[packages] = frozenset(name.partition(".")[0].removesuffix("-stubs") for name in names)
        return root in self._roots[packages] or root in sys.stdlib_module_names

    async def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            await process.close()
        self._processes.clear()
        self._idle.clear()
        if self._store is not None:
            self._store.prune()

    # --- the store

    def _name(self, packages: Packages, kind: str, qualified: str) -> str:
        if packages not in self._installed:
            names = [[str(folder), _listed(folder)] for folder in packages]
            self._installed[packages] = digest_of(own_digest(), names)
        return digest_of(self._installed[packages], kind, qualified)

    def _with_states(self, files: Iterable[str]) -> list[list[object]]:
        return [[path, self._state(path)] for path in files]

    def _state(self, path: str) -> list[int] | None:
        if path not in self._states:
            try:
                state = os.stat(path)
                self._states[path] = [state.st_mtime_ns, state.st_size]
            except OSError:
                self._states[path] = None
        return self._states[path]

    def _kept(self, entry: object) -> Told | None:
        """What an entry of the store says, if all that it was read from is as it was."""
        if not isinstance(entry, dict) or not isinstance(entry.get("files"), list) or _times_spent(entry) == 1:
            return None
        for pair in entry["files"]:
            if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
                return None
            if self._state(pair[0]) != pair[1]:
                return None
        answer = entry.get("answer")
        if answer is None:
            return Told(None)
        is_right = isinstance(answer, list) and all(isinstance(name, str) for name in answer)
        return Told(tuple(answer)) if is_right else None


def kept_class_answers(cache: Path, processes: int = 1) -> ClassAnswers:
    """Answers that are kept from run to run in a cache's folder."""
    return ClassAnswers(Store(cache, "classes"), cache=cache / "jedi", processes=processes)


def _times_spent(entry: object) -> int:
    """How many sessions have spent all of the time that they had for an answer, and got none."""
    times = entry.get(_SPENT) if isinstance(entry, dict) else None
    return times if isinstance(times, int) else 0


def _listed(folder: Path) -> list[str]:
    """The names of what is installed in a folder, versions included."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
