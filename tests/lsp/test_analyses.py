"""When what is analysed: the newest text, once, after all messages; answers in the background."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lsprotocol import types

import gradsense.engine
import gradsense.lsp.analyses
import gradsense.program.reuse
import gradsense.workspace.solve
from gradsense.config import Settings
from gradsense.engine import Analysis
from gradsense.findings import Finding, Severity, Span
from gradsense.lsp.analyses import Analyses
from gradsense.lsp.documents import Documents
from gradsense.program.program import Program
from gradsense.rules.base import Rule
from gradsense.snapshot import Answer, InstalledVersion, ModuleSource, Question, Snapshot, SourceFile

pytestmark = pytest.mark.asyncio

URI = "file:///a.py"
QUESTION = InstalledVersion("torch", "/a.py")


class World:
    """What lies outside the documents, under the test's control."""

    def __init__(self) -> None:
        self.roots: tuple[Path, ...] = ()
        self.answered = asyncio.Event()
        self.asked = 0
        self.known_answers: dict[Question, Answer] = {}

    def settings_for(self, path: str) -> tuple[Settings, list[Any]]:
        return Settings(), []

    def known(self, questions: Iterable[Question], overlay: Mapping[str, str]) -> dict[Question, Answer]:
        return {q: self.known_answers[q] for q in questions if q in self.known_answers}

    def patience(self) -> None:
        return None

    def look_again(self) -> bool:
        return False

    async def answer(
        self, questions: Iterable[Question], overlay: Mapping[str, str], patience: None
    ) -> dict[Question, Answer]:
        self.asked += 1
        await self.answered.wait()
        self.known_answers = dict.fromkeys(questions, "2.13.0")
        return self.known_answers


class Bench:
    """Documents and analyses without a server around them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World()
        self.documents = Documents("utf-16")
        self.waiting = 0
        """How often the reader will still say that messages wait."""
        self.seen: list[tuple[str, bool]] = []
        """Each analysed text, and whether the question was answered."""
        troubles: Any = SimpleNamespace(took=lambda *_: None, failed=lambda *_: None)
        self.analyses = Analyses(self.documents, lambda: self.world, self._ready, self._messages_wait, troubles)  # type: ignore[arg-type, return-value]
        monkeypatch.setattr(gradsense.workspace.solve, "analyse", self._analyse)

    def _ready(self) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _messages_wait(self) -> bool:
        self.waiting -= 1
        return self.waiting >= 0

    def _analyse(self, snapshot: Snapshot, begin: Callable[[str], None]) -> Analysis:
        if "crash" in snapshot.text:
            raise RuntimeError
        self.seen.append((snapshot.text, QUESTION in snapshot.answers))
        return Analysis((), frozenset({QUESTION} if "ask" in snapshot.text else ()))

    def type(self, text: str, version: int = 1, uri: str = URI) -> None:
        self.documents.open(types.TextDocumentItem(uri, "python", version, text))
        self.analyses.touch(uri)


async def settled(bench: Bench) -> None:
    while bench.analyses.is_busy:
        await asyncio.sleep(0)


async def test_a_burst_of_edits_is_one_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    for i in range(10):
        bench.type(f"x = {i}")
    result = await bench.analyses.current(URI)
    assert result is not None
    assert result.source.text == "x = 9"
    assert bench.seen == [("x = 9", False)]


async def test_who_types_without_a_pause_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.analyses.listeners.append(lambda result, edited: bench.type(f"{result.source.text}x"))
    bench.type("x")
    asked = bench.documents.revision(URI)
    result = await asyncio.wait_for(bench.analyses.current(URI), 10)
    assert result is not None
    assert result.source.revision >= asked
    newest = asyncio.ensure_future(bench.analyses.newest(URI))
    while len(bench.seen) < 5:
        await asyncio.sleep(0)
    assert not newest.done()
    bench.analyses.listeners.clear()
    assert await asyncio.wait_for(newest, 10)


async def test_messages_that_wait_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.waiting = 5
    bench.type("old")
    asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(bench.type, "new"))
    await bench.analyses.current(URI)
    assert bench.seen == [("new", False)]


async def test_what_was_touched_last_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.waiting = 5
    uris = [f"file:///{name}.py" for name in "abc"]
    for uri in uris:
        bench.type(uri, uri=uri)
    bench.type("edited", uri=uris[1])
    for uri in uris:
        await bench.analyses.current(uri)
    assert [text for text, _ in bench.seen] == ["edited", uris[2], uris[0]]


async def test_each_text_has_a_first_result_before_any_has_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.world.answered.set()
    uris = [f"file:///{name}.py" for name in "ab"]
    for uri in uris:
        bench.type(f"ask {uri}", uri=uri)
    await settled(bench)
    assert [answered for _, answered in bench.seen] == [False, False, True, True]


async def test_a_document_opened_anew_is_analysed(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.type("before")
    bench.documents.close(URI)
    bench.analyses.touch(URI)
    bench.type("after")
    result = await asyncio.wait_for(bench.analyses.current(URI), 10)
    assert result is not None
    assert [text for text, _ in bench.seen] == ["after"]


async def test_the_first_result_waits_for_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.type("ask")
    first = await bench.analyses.current(URI)
    assert first is not None
    assert not first.complete
    bench.world.answered.set()
    await settled(bench)
    last = bench.analyses.latest(URI)
    assert last is not None
    assert last.complete
    assert bench.seen == [("ask", False), ("ask", True)]


async def test_an_answer_for_an_older_text_starts_no_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.type("ask 1")
    await bench.analyses.current(URI)
    bench.type("ask 2")
    await bench.analyses.current(URI)
    bench.world.answered.set()
    await settled(bench)
    assert bench.seen == [("ask 1", False), ("ask 2", False), ("ask 2", True)]
    bench.type("ask 3")
    await bench.analyses.current(URI)
    assert bench.seen[-1] == ("ask 3", True)


async def test_an_analysis_begun_anew_drops_the_older_one_of_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.type("ask")
    await bench.analyses.current(URI)
    bench.analyses.touch(URI)
    while len(bench.seen) < 2:
        await asyncio.sleep(0)
    bench.world.answered.set()
    await settled(bench)
    assert bench.seen == [("ask", False), ("ask", False), ("ask", True)]


async def test_typing_while_questions_are_open_asks_them_once_more_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)
    for i in range(20):
        bench.type(f"ask {i}")
        await bench.analyses.current(URI)
    bench.world.answered.set()
    await settled(bench)
    assert bench.world.asked <= 2
    assert bench.seen[-1] == ("ask 19", True)


async def test_listeners_hear_what_is_new_only(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    heard: list[tuple[str, bool]] = []
    bench.analyses.listeners.append(lambda result, edited: heard.append((result.source.text, edited)))
    bench.world.answered.set()
    bench.type("ask")
    await settled(bench)
    assert heard == [("ask", True)]


async def test_who_waits_is_told_when_the_document_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.waiting = 1000
    bench.type("x")
    waiting = asyncio.ensure_future(bench.analyses.current(URI))
    await asyncio.sleep(0)
    bench.documents.close(URI)
    bench.analyses.touch(URI)
    assert await asyncio.wait_for(waiting, 10) is None


MODELS = "file:///models.py"
READS = ModuleSource("models", "/a.py")


async def reading(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """`a.py` has read `Net` of `models.py`; both are open."""
    bench = Bench(monkeypatch)

    class Reading(World):
        def known(self, questions: Iterable[Question], overlay: Mapping[str, str]) -> dict[Question, Answer]:
            return {q: SourceFile("/models.py", overlay["/models.py"]) for q in questions if q == READS}

        async def answer(
            self, questions: Iterable[Question], overlay: Mapping[str, str], patience: None
        ) -> dict[Question, Answer]:
            return self.known(questions, overlay)

    def analysed(snapshot: Snapshot, begin: Callable[[str], None]) -> Analysis:
        bench.seen.append((snapshot.path, READS in snapshot.answers))
        return Analysis((), frozenset({READS} if snapshot.path == "/a.py" else ()))

    bench.world = Reading()
    monkeypatch.setattr(gradsense.workspace.solve, "analyse", analysed)
    bench.type("class Net:\n    size = 1\n\n\ndef plot():\n    pass\n", uri=MODELS)
    await settled(bench)
    bench.type("from models import Net\n")
    await settled(bench)
    bench.seen.clear()
    return bench


async def test_what_a_reader_has_not_seen_costs_it_no_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = await reading(monkeypatch)
    bench.type("class Net:\n    size = 1\n\n\ndef plot():\n    return 1\n", 2, uri=MODELS)
    await settled(bench)
    assert [path for path, _ in bench.seen] == ["/models.py"]


async def test_what_a_reader_has_seen_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = await reading(monkeypatch)
    bench.type("class Net:\n    size = 2\n\n\ndef plot():\n    pass\n", 2, uri=MODELS)
    await settled(bench)
    assert [path for path, _ in bench.seen] == ["/models.py", "/a.py"]


async def test_nothing_is_analysed_when_nothing_has_changed_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = await reading(monkeypatch)
    bench.analyses.touch_all()
    await settled(bench)
    assert bench.seen == []
    bench.analyses.touch_all(anew=True)
    await settled(bench)
    assert sorted(path for path, _ in bench.seen) == ["/a.py", "/models.py"]


async def calling(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A text that others call: what they do is found in what is typed only if nobody types for an hour, or saves."""
    bench = Bench(monkeypatch)

    def analysed(snapshot: Snapshot, begin: Callable[[str], None]) -> Analysis:
        bench.seen.append((snapshot.text, snapshot.callers))
        at = snapshot.text.index("step")
        found = Finding("GS901", "called", Severity.WARNING, Span(at, at + 4), "Called. Mend it.")
        return Analysis((found,) if snapshot.callers else (), frozenset(), waits=not snapshot.callers)

    monkeypatch.setattr(gradsense.workspace.solve, "analyse", analysed)
    monkeypatch.setattr(gradsense.lsp.analyses, "PAUSE_S", 3600.0)
    bench.type("step()")
    await settled(bench)
    assert bench.seen == [("step()", False), ("step()", True)]
    bench.seen.clear()
    return bench


async def test_callers_are_followed_when_nobody_types(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = await calling(monkeypatch)
    for version in range(2, 5):
        bench.type("x" * version + ";step()", version)
        result = await bench.analyses.current(URI)
        assert result is not None
        # What was found before is where it has moved to.
        assert [finding.span for finding in result.findings] == [Span(version + 1, version + 5)]
        assert not result.complete
    for _ in range(100):
        await asyncio.sleep(0)
    assert [callers for _, callers in bench.seen] == [False, False, False]
    bench.analyses.saved(URI)
    await settled(bench)
    assert bench.seen[3:] == [("xxxx;step()", True)]
    result = bench.analyses.latest(URI)
    assert result is not None
    assert result.complete


async def test_who_saves_what_was_just_typed_waits_for_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = await calling(monkeypatch)
    bench.type("z;step()", 2)
    bench.analyses.saved(URI)
    await asyncio.wait_for(settled(bench), 10)
    assert bench.seen == [("z;step()", False), ("z;step()", True)]


async def test_of_what_is_typed_without_a_pause_the_newest_text_alone_waits_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = await calling(monkeypatch)
    for version in range(2, 50):
        bench.type("x" * version + ";step()", version)
        await bench.analyses.current(URI)

    async def given_up() -> None:
        while len(asyncio.all_tasks()) > 5:
            await asyncio.sleep(0)

    await asyncio.wait_for(given_up(), 10)
    assert bench.analyses.is_busy
    bench.analyses.saved(URI)
    await asyncio.wait_for(settled(bench), 10)
    assert bench.seen[-1] == ("x" * 49 + ";step()", True)


async def test_no_result_on_the_way_is_without_what_callers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = await calling(monkeypatch)
    heard: list[int] = []
    bench.analyses.listeners.append(lambda result, edited: heard.append(len(result.findings)))
    bench.type("y = 1;step()", 2)
    await bench.analyses.current(URI)
    bench.analyses.saved(URI)
    await settled(bench)
    assert heard == [1]


async def test_folders_are_looked_at_once_more_however_often_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    begun, go_on, looks = threading.Event(), threading.Event(), []

    def look_again() -> bool:
        looks.append(len(looks))
        begun.set()
        go_on.wait(10)
        return False

    monkeypatch.setattr(bench.world, "look_again", look_again)
    bench.analyses.touch_all()
    assert await asyncio.to_thread(begun.wait, 10)
    for _ in range(5):
        bench.analyses.touch_all()
    go_on.set()
    await settled(bench)
    assert looks == [0, 1]
    bench.analyses.touch_all()
    await settled(bench)
    assert looks == [0, 1, 2]


async def test_files_that_are_not_open_come_last_and_after_what_they_import(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench = Bench(monkeypatch)
    imports = {"a": "c", "b": "a", "c": "d", "d": "a", "e": "x"}
    for name, other in imports.items():
        (tmp_path / f"{name}.py").write_text(f"import {other}\n")

    class Disk(World):
        def text_of(self, path: str) -> str | None:
            return Path(path).read_text() if Path(path).exists() else None

        def known(self, questions: Iterable[Question], overlay: Mapping[str, str] = {}) -> dict[Question, Answer]:
            found: dict[Question, Answer] = {}
            for question in questions:
                path = str(tmp_path / f"{question.module}.py") if isinstance(question, ModuleSource) else ""
                text = self.text_of(path)
                found[question] = SourceFile(path, text) if text is not None else None
            return found

    bench.world = Disk()
    done: list[str] = []
    bench.analyses.at_progress = done.append
    await bench.analyses.closed.find([tmp_path])
    for uri in bench.analyses.closed.uris():
        bench.analyses.touch(uri)
    bench.type("x = 1")
    await settled(bench)
    assert bench.seen[0] == ("x = 1", False)
    assert [Path(uri).stem for uri in done] == ["d", "c", "a", "b", "e"]


async def test_a_crash_gives_an_empty_result(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(monkeypatch)
    bench.type("crash")
    result = await asyncio.wait_for(bench.analyses.current(URI), 10)
    assert result is not None
    assert result.findings == ()
    assert "The analysis of /a.py failed" in caplog.text


async def test_a_rule_that_fails_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(monkeypatch)
    monkeypatch.setattr(gradsense.workspace.solve, "analyse", gradsense.engine.analyse)
    monkeypatch.setattr(gradsense.engine, "all_rules", lambda: (Failing,))
    for i in range(3):
        bench.type(f"import torch  # {i}")
        result = await bench.analyses.current(URI)
        assert result is not None
        assert result.findings == ()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "GS999: Traceback" in record.getMessage()


async def test_what_is_too_much_to_follow_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(monkeypatch)
    monkeypatch.setattr(gradsense.workspace.solve, "analyse", gradsense.engine.analyse)
    monkeypatch.setattr(gradsense.program.reuse, "_BUDGETS", (3,))
    caplog.set_level("INFO")
    for i in range(3):
        bench.type("import torch\n\ndef train(optimizer):\n" + "    optimizer.step()\n" * (5 + i))
        await bench.analyses.current(URI)
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage().startswith("/a.py: `train` would take too many steps to follow")


class Failing(Rule):
    """A rule with a mistake of ours."""

    code, name, severity = "GS999", "failing", Severity.ERROR

    def check(self, program: Program) -> Iterator[Finding]:
        raise LookupError(program.file.document.text)
