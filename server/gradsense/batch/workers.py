"""Workers on this machine, and the threads that each of them is led by.

They are started here, not by `multiprocessing`: its children look for modules in the working directory first, and there
lies whatever a user has just cloned.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from gradsense.batch.channel import Channel
from gradsense.batch.engines import Outcomes
from gradsense.batch.segments import Segments
from gradsense.batch.worker import Asked, Done, Orders
from gradsense.snapshot import ImportedBy, Snapshot
from gradsense.workspace.class_answers import ClassQuestion, Packages
from gradsense.workspace.jedi_process import Told
from gradsense.workspace.outcomes import Outcome
from gradsense.workspace.session import Session

_ATTEMPTS = 2
"""Workers that may die of one file before it is given up."""
_FAREWELL = 5.0
"""Seconds that a worker whose input has ended gets to end by itself."""
_PATIENCE = 0.5
"""Seconds between looks at whether Ctrl+C was pressed, where a waiting thread doesn't notice."""

# `sys` is built in: nothing is looked for before the path is the one that this process has.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from gradsense.batch.worker import main; main()"

Tell = Callable[[Packages, ClassQuestion | ImportedBy], Told | tuple[str, ...]]


class Workers:
    """As many processes as there is room for, each with a session of its own; jedi is asked by this process alone."""

    def __init__(self, session: Session, count: int) -> None:
        self._session = session
        self._orders = Orders(session.roots, session.surroundings)
        self._count = count

    def outcomes(self, snapshots: Sequence[Snapshot]) -> Outcomes:
        """See `Engine`. The processes end with the iteration, however it ends."""
        segments = Segments([len(snapshot.text) for snapshot in snapshots], self._count)
        results: queue.SimpleQueue[tuple[int, Outcome] | BaseException] = queue.SimpleQueue()
        leads: list[_Lead] = []
        try:
            with self._session.telling_threads() as tell:
                leads += (_Lead(each, segments, snapshots, self._orders, tell, results) for each in range(self._count))
                try:
                    for lead in leads:
                        lead.thread.start()
                    for _ in snapshots:
                        yield _next(results)
                finally:
                    for lead in leads:
                        lead.stop()
        finally:
            # Not before the waiting for answers has ended.
            for lead in leads:
                if lead.thread.ident is not None:
                    lead.thread.join()


def _next(results: queue.SimpleQueue[tuple[int, Outcome] | BaseException]) -> tuple[int, Outcome]:
    while True:
        with contextlib.suppress(queue.Empty):
            result = results.get(timeout=_PATIENCE)
            if isinstance(result, BaseException):
                raise result
            return result


class _Lead:
    """Leads one worker through its files, and starts another one where it dies."""

    def __init__(
        self,
        number: int,
        segments: Segments,
        snapshots: Sequence[Snapshot],
        orders: Orders,
        tell: Tell,
        results: queue.SimpleQueue[tuple[int, Outcome] | BaseException],
    ) -> None:
        self._number = number
        self._segments = segments
        self._snapshots = snapshots
        self._orders = orders
        self._tell = tell
        self._results = results
        self._stopped = False
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self.thread = threading.Thread(target=self._work, name=f"worker {number}", daemon=True)

    def stop(self) -> None:
        """End the worker at once, whatever it is at."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def _work(self) -> None:
        try:
            while not self._stopped and (number := self._segments.next(self._number)) is not None:
                self._results.put((number, self._outcome(self._snapshots[number])))
        except BaseException as error:
            self._results.put(error)
        finally:
            self._end()

    def _outcome(self, snapshot: Snapshot) -> Outcome:
        code: int | None = None
        for _ in range(_ATTEMPTS):
            if self._stopped:
                break
            try:
                done = self._asked(snapshot)
                if done.is_full:
                    self._end()
                return done.outcome
            except (EOFError, OSError):
                code = self._end()
        return Outcome((), lost=f"the processes that analysed it died ({_ended(code)})")

    def _asked(self, snapshot: Snapshot) -> Done:
        channel = self._started()
        channel.send(snapshot)
        while True:
            answer = channel.receive()
            if isinstance(answer, Done):
                return answer
            assert isinstance(answer, Asked)
            channel.send(self._tell(answer.packages, answer.question))

    def _started(self) -> Channel:
        if self._channel is not None:
            return self._channel
        # As isolated as it can be: what the environment's variables say to Python is in its path already.
        flags = ["-I", "-X", "utf8", *(["-B"] if sys.dont_write_bytecode else [])]
        command = [sys.executable, *flags, "-c", _PROGRAM.format(path=sys.path)]
        with self._lock:
            if self._stopped:
                raise EOFError
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._channel = Channel(self._process.stdout, self._process.stdin)
        self._channel.send(self._orders)
        return self._channel

    def _end(self) -> int | None:
        """End the process; what it ended with."""
        with self._lock:
            process, self._process, self._channel = self._process, None, None
        if process is None:
            return None
        with contextlib.suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        try:
            code = process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        process.stdout.close()  # type: ignore[union-attr]
        return code


def _ended(code: int | None) -> str:
    if code is None:
        return "they could not be started"
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"
