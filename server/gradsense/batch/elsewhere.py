"""Executors from elsewhere, by name: a Dask or Ray cluster, or whatever a function of the user's makes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from gradsense.batch.engines import Outcomes
from gradsense.batch.errands import OtherVersion, errand_for, returned_from, run_errand
from gradsense.snapshot import Answer, Question, Snapshot
from gradsense.workspace.class_answers import Patience
from gradsense.workspace.outcomes import Outcome
from gradsense.workspace.session import Session
from gradsense.workspace.solve import ROUNDS

SCHEDULED = ("dask", "ray")
"""Engines that may be given a cluster's address."""
_TOGETHER = 60_000
"""Characters of programs that go in one errand: they mostly import the same."""
_AHEAD = 2
"""Errands for each process that are under way at once."""

_Submit = Callable[..., "Future[bytes]"]
_Numbered = tuple[tuple[int, Snapshot], ...]


class EngineError(Exception):
    """An engine that can't be had. The message says why, and what to do."""


class Elsewhere:
    """Sends files to an executor, and answers what is asked on the way."""

    def __init__(self, session: Session, name: str, scheduler: str | None, jobs: int) -> None:
        """`name` is `dask`, `ray`, or `module:function`, whose function makes an executor as `concurrent.futures` knows
        it; `scheduler` is a cluster's address (default: one on this machine, of `jobs` processes)."""
        self._session = session
        self._name = name
        self._scheduler = scheduler
        self._jobs = jobs

    def outcomes(self, snapshots: Sequence[Snapshot]) -> Outcomes:
        """See `Engine`. Raises EngineError."""
        with ExitStack() as stack:
            submit = self._submit(stack)
            yield from _Errands(self._session, submit, self._jobs * _AHEAD, snapshots).outcomes()

    def _submit(self, stack: ExitStack) -> _Submit:
        try:
            if self._name == "dask":
                return _dask(stack, self._scheduler, self._jobs)
            if self._name == "ray":
                return _ray(stack, self._scheduler, self._jobs)
            return _made(stack, self._name)
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"--engine {self._name} can't be started: {type(error).__name__}: {error}") from error


class _Errands:
    """Those of one check."""

    def __init__(self, session: Session, submit: _Submit, most: int, snapshots: Sequence[Snapshot]) -> None:
        self._session = session
        self._submit = submit
        self._most = most
        self._waiting = list(reversed(_together(snapshots)))
        self._running: dict[Future[bytes], _Numbered] = {}
        self._rounds = [0] * len(snapshots)
        self._patience = [Patience() for _ in snapshots]

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        try:
            while self._waiting or self._running:
                while self._waiting and len(self._running) < self._most:
                    errand = tuple((number, self._provided(snapshot)) for number, snapshot in self._waiting.pop())
                    self._running[self._submit(run_errand, errand_for(errand))] = errand
                done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from self._come_back(self._running.pop(future), future)
        finally:
            for future in self._running:
                future.cancel()

    def _come_back(self, errand: _Numbered, future: Future[bytes]) -> Iterator[tuple[int, Outcome]]:
        try:
            returned = returned_from(future.result())
        except OtherVersion as error:
            raise EngineError(f"{error}.") from None
        except Exception as error:
            if len(errand) > 1:
                # One of them may be to blame: the others are to have their turn.
                self._waiting += ((each,) for each in errand)
                return
            yield errand[0][0], Outcome((), lost=f"the engine failed: {type(error).__name__}: {error}")
            return
        snapshots = dict(errand)
        again: list[tuple[int, Snapshot]] = []
        for each in returned:
            answers = self._session.answer_now(each.asked, self._patience[each.number]) if each.asked else {}
            self._rounds[each.number] += 1
            is_news = each.unsettled or any(answer is not None for answer in answers.values())
            if each.asked and is_news and self._rounds[each.number] <= ROUNDS:
                snapshot = snapshots[each.number]
                known = {**snapshot.answers, **dict.fromkeys(each.asked), **answers}
                again.append((each.number, replace(snapshot, answers=MappingProxyType(known))))
            elif each.asked and is_news:
                yield each.number, replace(each.outcome, is_final=False)
            else:
                yield each.number, each.outcome
        if again:
            self._waiting.append(tuple(again))

    def _provided(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot with what its analysis will most likely ask, as far as that is known here."""
        ahead: dict[Question, Answer] = self._session.known_ahead(snapshot)
        return replace(snapshot, answers=MappingProxyType({**ahead, **snapshot.answers}))


def _together(snapshots: Sequence[Snapshot]) -> list[_Numbered]:
    """Snapshots that lie together, in errands that are neither many nor long."""
    errands: list[_Numbered] = []
    errand: list[tuple[int, Snapshot]] = []
    size = 0
    for number, snapshot in enumerate(snapshots):
        errand.append((number, snapshot))
        size += len(snapshot.text)
        if size >= _TOGETHER:
            errands.append(tuple(errand))
            errand, size = [], 0
    return [*errands, tuple(errand)] if errand else errands


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise EngineError(f"--engine {extra} needs the package {name}: pip install 'gradsense[{extra}]'") from None


def _dask(stack: ExitStack, scheduler: str | None, jobs: int) -> _Submit:
    distributed = _library("distributed", "dask")
    where = (
        {"address": scheduler} if scheduler else {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": None}
    )
    client = stack.enter_context(distributed.Client(**where))
    submit: _Submit = client.get_executor(pure=False).submit
    return submit


def _ray(stack: ExitStack, scheduler: str | None, jobs: int) -> _Submit:
    ray = _library("ray", "ray")
    where = {"address": scheduler} if scheduler else {"num_cpus": jobs, "include_dashboard": False}
    ray.init(log_to_driver=False, **where)
    stack.callback(ray.shutdown)

    @ray.remote  # type: ignore[untyped-decorator]
    def run(work: Callable[[bytes], bytes], data: bytes) -> bytes:
        return work(data)

    def submit(work: Callable[[bytes], bytes], data: bytes) -> Future[bytes]:
        future: Future[bytes] = run.remote(work, data).future()
        return future

    return submit


def _made(stack: ExitStack, name: str) -> _Submit:
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise EngineError(f"--engine {name} is none of processes, dask, ray and module:function.")
    executor = getattr(importlib.import_module(module), function)()
    if hasattr(executor, "__exit__"):
        executor = stack.enter_context(executor)
    submit: _Submit = executor.submit
    return submit
