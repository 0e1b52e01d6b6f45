"""When what is analysed: the newest text first, each text once, and never while messages wait.

All of it runs on the event loop, which is the engine's one thread. An analysis begins only when every message
that has been read is handled, so a burst of edits costs one analysis, without a timer. A first result waits
for nothing; what the engine asks about the world outside the file is answered in the background, then the
same text is analysed again, unless there is a newer one by then.

Files that aren't open, where the user wants findings in all of them, come one at a time and last, after those that
they import.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gradsense.config import Settings
from gradsense.failures import Failures, words_of_given_up
from gradsense.findings import Finding
from gradsense.lsp.called import Called
from gradsense.lsp.closed import ClosedFiles
from gradsense.lsp.convert import is_file
from gradsense.lsp.documents import Documents, Source
from gradsense.lsp.trouble import Stopwatch, Troubles
from gradsense.snapshot import ImportedBy, Question, Snapshot, SourceFile
from gradsense.source.lines import LineIndex

if TYPE_CHECKING:
    from gradsense.engine import Analysis, ProbeTargets
    from gradsense.insight.coverage import Coverage
    from gradsense.workspace.session import Session
    from gradsense.workspace.solve import Round

logger = logging.getLogger(__name__)

MOST_ASKED = 500
"""Questions of a document's earlier texts that are remembered, so that what is typed again needs no second look."""

PAUSE_S = 0.5
"""How long nobody types before files that call the ones that are open are followed."""

LONGEST_BURST_S = 0.5
"""How long an analysis waits for messages that keep coming."""


@dataclass(frozen=True)
class Analysed:
    """One text and what was found in it."""

    source: Source
    snapshot: Snapshot
    findings: tuple[Finding, ...]
    complete: bool
    """Whether no question is open."""
    serial: int
    """Differs between two results that differ."""

    @cached_property
    def targets(self) -> ProbeTargets:
        """What a probe can be run on."""
        from gradsense.engine import probe_targets

        return probe_targets(self.snapshot)

    @cached_property
    def coverage(self) -> list[Coverage]:
        """What is exactly known of what optimizers hold; nothing after a mistake of ours, too."""
        from gradsense.engine import coverage_of

        try:
            return coverage_of(self.snapshot)
        except Exception:
            logger.exception("A mistake of GradSense's, please report it. Some hints may be missing")
            return []

    @cached_property
    def _others(self) -> dict[str, LineIndex]:
        answers = self.snapshot.answers.values()
        return {answer.path: LineIndex(answer.text) for answer in answers if isinstance(answer, SourceFile)}

    def lines_of(self, path: str) -> LineIndex | None:
        """The lines of another file that took part."""
        return self._others.get(path)


@dataclass
class _Unit:
    """What is remembered of a document or notebook between its analyses."""

    asked: set[Question] = field(default_factory=set)
    reads: frozenset[str] = frozenset()
    """The paths of the files whose text took part in the newest result."""
    result: Analysed | None = None
    answering: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while questions are answered: a newer text's are asked afterwards, when most are known."""
    turn: int = 0
    """Which analysis is the newest."""
    anew: bool = False
    """Whether to ask all questions again."""
    imports: frozenset[str] = frozenset()
    """The modules that the newest text imports."""
    called: Called | None = None
    """What was found last by following the files that call this one."""
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Let what rests look at whether it still has to."""
        self._woken.set()
        self._woken = asyncio.Event()

    async def rest(self, seconds: float) -> None:
        """Wait, unless somebody calls `wake` before."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)

    @property
    def asks_who_imports_it(self) -> bool:
        """Whether what is found depends on which files import this one."""
        return any(isinstance(question, ImportedBy) for question in self.asked)

    def with_called(self, own: tuple[Finding, ...], snapshot: Snapshot) -> tuple[Finding, ...]:
        """What a text says by itself, with what its callers did when they were followed last."""
        return self.called.joined(own, snapshot) if self.called is not None else own


class Analyses:
    """The newest result of each open document."""

    def __init__(
        self,
        documents: Documents,
        session: Callable[[], Session],
        ready: Callable[[], asyncio.Future[None]],
        messages_wait: Callable[[], bool],
        troubles: Troubles,
    ) -> None:
        """`ready` is done when the engine has been imported; `messages_wait` tells of unhandled messages; `troubles`
        takes what goes wrong."""
        self._documents = documents
        self.closed = ClosedFiles(documents, session)
        self._session = session
        self._ready = ready
        self._messages_wait = messages_wait
        self._troubles = troubles
        self._units: dict[str, _Unit] = {}
        self._queue: dict[str, _Unit] = {}
        """Whose newest text is to be analysed; what was touched last comes first."""
        self._later: dict[str, None] = {}
        """The files that are not open among them."""
        self._works_later = False
        self._failures = Failures()
        self._given_up: dict[str, tuple[str, ...]] = {}
        """What was told last of what is too much to follow, by path."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._looks_left = 0
        self._saved = 0
        """The newest revision that was saved."""
        self._rest_from = 0.0
        """When nobody will have typed for a while, in seconds of the monotonic clock."""
        self._serial = 0
        self.listeners: list[Callable[[Analysed, bool], None]] = []
        """Called with each result that says something new, and whether the text itself is new."""
        self.at_progress: Callable[[str], None] = lambda uri: None
        """Called after each file that is not open, or no longer there."""
        self.at_analysis: Callable[[str, float, Analysis], None] = lambda path, seconds, analysis: None
        """Called after each analysis with what it has cost."""

    def touch(self, unit: str) -> None:
        """The text of `unit`, or what it depends on, has changed."""
        if self._documents.source(unit) is None:
            self._touch_closed(unit)
            return
        self._later.pop(unit, None)
        state = self._units.setdefault(unit, _Unit())
        queued = self._queue.pop(unit, None) is not None
        self._queue[unit] = state
        if not queued:
            self._start(self._follow(unit))

    def _touch_closed(self, unit: str) -> None:
        if unit not in self.closed:
            self._later.pop(unit, None)
            left = self._units.pop(unit, None)
            if left is not None:
                if left.result is not None:
                    self._forget(left.result.snapshot.path)
                self.at_progress(unit)
            self._tell()
            return
        self._units.setdefault(unit, _Unit())
        self._later[unit] = None
        if not self._works_later:
            self._works_later = True
            self._start(self._follow_closed())

    def _forget(self, path: str) -> None:
        """Nobody looks at a file any more: what its runs have seen is most of what it takes of memory."""
        from gradsense.engine import forget

        forget(path)
        self._given_up.pop(path, None)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def touch_all(self, anew: bool = False) -> None:
        """The world outside the documents has changed: files, and if `anew`, configurations or environments."""
        for unit in (*self._documents.units(), *self.closed.uris()):
            self.touch(unit)
            if anew and unit in self._units:
                self._units[unit].anew = True
        self._looks_left = 1 if self._looks_left == 0 else 2
        if self._looks_left == 1:
            self._start(self._look_again())

    async def _look_again(self) -> None:
        """See what the files on disk import now, once more if they may have changed meanwhile; if that is something
        else, what is called from elsewhere may be called from somewhere else."""
        try:
            await self._ready()
            while self._looks_left:
                self._looks_left = 1
                if await asyncio.to_thread(self._session().look_again):
                    self._touch_called()
                self._looks_left -= 1
        finally:
            self._looks_left = 0

    def _touch_called(self) -> None:
        """Analyse again what depends on who imports it."""
        for uri, unit in list(self._units.items()):
            if unit.asks_who_imports_it:
                self.touch(uri)

    @property
    def left(self) -> int:
        """How many files that are not open wait for their turn."""
        return len(self._later)

    def leave(self) -> None:
        """Look at no more files that are not open, until something touches them."""
        for unit in self._later:
            if self._units[unit].result is None:
                del self._units[unit]
        self._later.clear()
        self._tell()

    @property
    def is_busy(self) -> bool:
        """Whether any text is analysed, waits for its turn or for answers."""
        return bool(self._tasks)

    def latest(self, uri: str) -> Analysed | None:
        """The newest result there is, perhaps of an older text."""
        unit = self._units.get(self._documents.unit_of(uri))
        return unit.result if unit else None

    async def current(self, uri: str) -> Analysed | None:
        """The result of the text as it is now, waited for; None if the document isn't open, or isn't Python.

        It is of a later text where one was analysed first: who types without a pause keeps nobody waiting.
        """
        asked = self._documents.revision(self._documents.unit_of(uri))
        while True:
            unit = self._documents.unit_of(uri)
            if self._documents.source(unit) is None and (unit not in self.closed or unit not in self._units):
                return None
            result = self.latest(uri)
            if result is not None and (not self._is_stale(result.source) or 0 < asked <= result.source.revision):
                return result
            await self._news.wait()

    async def newest(self, uri: str) -> Analysed | None:
        """The same of the newest text, for what makes edits, or runs it: waits until nobody types."""
        while (result := await self.current(uri)) is not None and self._is_stale(result.source):
            await self._news.wait()
        return result

    def is_current(self, analysed: Analysed) -> bool:
        """Whether a result is of its document's newest text."""
        return not self._is_stale(analysed.source)

    def _revision(self, unit: str) -> int:
        return self._documents.revision(unit) if unit not in self.closed else self.closed.revision(unit)

    async def _follow(self, unit: str) -> None:
        """Analyse the newest text of `unit`, answer what is asked, and analyse again, until nothing new is
        asked."""
        await self._ready()
        state = await self._turn(unit)
        source = self._documents.source(unit)
        if source is not None:
            await self._analyse(state, source)

    async def _follow_closed(self) -> None:
        """The same for files that are not open, as long as any waits."""
        try:
            await self._ready()
            while True:
                await self._nothing_queued()
                if not self._later:
                    break
                unit = self._first_imported(next(iter(self._later)))
                del self._later[unit]
                state, source = self._units.get(unit), self.closed.source(unit)
                if state is not None and source is not None:
                    state.turn += 1
                    await self._analyse(state, source)
                elif unit not in self._queue:
                    self._units.pop(unit, None)
                self.at_progress(unit)
        finally:
            self._works_later = False
            self._tell()

    async def closed_done(self) -> None:
        """Wait until no file that is not open waits for its turn."""
        while self._works_later:
            await self._news.wait()

    def _first_imported(self, unit: str) -> str:
        """The file to take before `unit`: one that it, or what it imports, imports; itself, if none waits."""
        seen = {unit}
        while True:
            deeper = next((uri for uri in self.closed.imports(unit) if uri in self._later and uri not in seen), None)
            if deeper is None:
                return unit
            seen.add(deeper)
            unit = deeper

    async def _analyse(self, state: _Unit, source: Source) -> None:
        path = self.path_of(source)
        snapshot = Snapshot(path, source.text, Settings(), cells=source.cells)
        try:
            await self._rounds(state, source, snapshot)
        except Exception:
            # A bug of ours, but whoever waits for this text must get an answer.
            logger.exception("The analysis of %s failed", path)
            self._accept(state, source, snapshot, (), complete=True)

    async def _rounds(self, state: _Unit, source: Source, snapshot: Snapshot) -> None:
        from gradsense.engine import still_hold

        session, turn = self._session(), state.turn
        settings, _ = session.settings_for(snapshot.path)
        held, anew, state.anew = state.result, state.anew, False
        is_held = held is not None and held.complete and held.source.revision == source.revision and not anew
        # Who imports the file may take longer to tell than there is between two keys.
        asked = state.asked if is_held else {each for each in state.asked if not isinstance(each, ImportedBy)}
        answers = session.known(asked, self._documents.texts_by_path())
        snapshot = replace(snapshot, settings=settings, answers=MappingProxyType(answers))
        if held is not None and is_held and still_hold(held.findings, held.snapshot, snapshot):
            return  # Something outside of the text has changed, which its findings don't depend on.
        own, alone = None, replace(snapshot, callers=False)
        async for current in self._each_round(state, source, alone):
            own, alone = current.analysis, replace(alone, answers=current.answers)
            is_complete = not current.asked and not own.waits
            state.called = state.called if own.waits else None
            self._accept(state, source, alone, state.with_called(own.findings, alone), complete=is_complete)
        if own is None or not own.waits:
            return
        await self._paused(state)
        if state.turn != turn or self._is_stale(source):
            return
        answers = session.known(state.asked, self._documents.texts_by_path())
        whole = replace(alone, callers=True, answers=MappingProxyType({**alone.answers, **answers}))
        async for current in self._each_round(state, source, whole):
            if not current.asked:
                whole = replace(whole, answers=current.answers)
                state.called = Called.beyond(own.findings, current.analysis.findings, whole)
                self._accept(state, source, whole, current.analysis.findings, complete=True)

    async def _each_round(self, state: _Unit, source: Source, snapshot: Snapshot) -> AsyncIterator[Round]:
        """Each analysis of a text, with the answers to what was asked before, as long as there is no newer text."""
        from gradsense.workspace.solve import rounds

        session, turn = self._session(), state.turn
        overlay = self._documents.texts_by_path()
        stopwatch = Stopwatch()
        loop = rounds(snapshot, stopwatch)
        patience = session.patience()
        begin = time.perf_counter()
        current = next(loop)
        while True:
            self.at_analysis(snapshot.path, time.perf_counter() - begin, current.analysis)
            self._log(current.analysis, snapshot.path)
            self._troubles.took(stopwatch.costs, snapshot.path)
            state.asked |= current.asked
            yield current
            if not current.asked:
                if len(state.asked) > MOST_ASKED + len(current.analysis.asked) and not current.analysis.waits:
                    state.asked = set(current.analysis.asked)
                return
            async with state.answering:
                if state.turn != turn or self._is_stale(source):
                    return
                answers = await session.answer(current.asked, overlay, patience)
            state.asked |= answers.keys()
            await self._nothing_queued()
            if state.turn != turn or self._is_stale(source):
                return
            # Meanwhile other documents may have been edited.
            answers |= session.known(answers, self._documents.texts_by_path())
            begin = time.perf_counter()
            try:
                current = loop.send(answers)
            except StopIteration:
                return

    def saved(self, unit: str) -> None:
        """Somebody has saved what was typed: now is the time to look at what takes longer."""
        self._saved = max(self._saved, self._documents.revision(unit))
        self._rest_from = 0.0
        for state in self._units.values():
            state.wake()

    async def _paused(self, state: _Unit) -> None:
        """Wait until nobody types: to follow other files may take longer than there is between two keys. A text that is
        no longer the newest waits for nothing: somebody who types on would have hundreds of them wait.
        """
        turn = state.turn
        while state.turn == turn and (left := self._rest_from - time.monotonic()) > 0:
            await state.rest(left)
        await self._nothing_queued()

    def _log(self, analysis: Analysis, path: str) -> None:
        for failure in self._failures.new(analysis.failures):
            self._troubles.failed(failure.partition(":")[0], path)
            logger.error("A mistake of GradSense's, please report it. Some findings may be missing.\n%s", failure)
        if analysis.given_up and self._given_up.get(path) != analysis.given_up:
            self._given_up[path] = analysis.given_up
            logger.info("%s: %s", path, words_of_given_up(analysis.given_up))

    def _is_stale(self, source: Source) -> bool:
        return self._revision(source.uri) != source.revision

    def _accept(
        self,
        state: _Unit,
        source: Source,
        snapshot: Snapshot,
        findings: tuple[Finding, ...],
        *,
        complete: bool,
    ) -> None:
        """Take a result, and tell of it if it says something new."""
        previous = state.result
        edited = previous is None or previous.source.revision != source.revision
        new = edited or previous is None or previous.findings != findings
        self._serial += new
        if edited and previous is not None and source.uri not in self.closed and source.revision > self._saved:
            self._rest_from = time.monotonic() + PAUSE_S
        serial = self._serial if previous is None or new else previous.serial
        state.result = Analysed(source, snapshot, findings, complete, serial)
        state.reads = frozenset(a.path for a in snapshot.answers.values() if isinstance(a, SourceFile))
        self._tell()
        if new:
            for listener in self.listeners:
                listener(state.result, edited)
        # Who has read a file that is not open has read what is on disk.
        if edited and (previous is not None or source.uri not in self.closed):
            self._touch_readers(snapshot.path)
        # What files on disk import is known without their analyses.
        if edited and source.uri not in self.closed and any(unit.asks_who_imports_it for unit in self._units.values()):
            from gradsense.workspace.import_index import modules_in

            before, state.imports = state.imports, modules_in(source.text.encode("utf-8", "replace"))
            if before != state.imports:
                self._touch_called()

    def _touch_readers(self, path: str) -> None:
        """Analyse again what has read the text of `path`."""
        for uri, unit in list(self._units.items()):
            if path in unit.reads:
                self.touch(uri)

    def _tell(self) -> None:
        """Wake up whoever waits for news."""
        self._news.set()
        self._news = asyncio.Event()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("An analysis failed", exc_info=error)

    async def close(self) -> None:
        """Drop all work."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _turn(self, unit: str) -> _Unit:
        """Let all messages that have been read be handled first, and the texts that were touched later."""
        await self._quiet()
        while next(reversed(self._queue)) != unit:
            await self._quiet()
        state = self._queue.pop(unit)
        state.turn += 1
        state.wake()
        return state

    async def _nothing_queued(self) -> None:
        """Let every text have its first result first."""
        await self._quiet()
        while self._queue:
            await self._quiet()

    async def _quiet(self) -> None:
        """Let all messages that have been read be handled first; a client that never stops sending gets results
        nevertheless."""
        await asyncio.sleep(0)
        deadline = time.monotonic() + LONGEST_BURST_S
        while self._messages_wait() and time.monotonic() < deadline:
            await asyncio.sleep(0)

    def path_of(self, source: Source) -> str:
        """The path by which the engine knows a text; an unsaved document counts as one of the first
        folder's."""
        roots = self._session().roots
        return source.path if is_file(source.uri) or not roots else str(Path(roots[0], source.path))
