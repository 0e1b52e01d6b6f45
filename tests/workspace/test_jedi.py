"""The jedi process: what it answers about installed packages, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from gradsense.snapshot import Answer, CallResult, ClassAncestry
from gradsense.workspace import jedi_process
from gradsense.workspace.jedi_process import JediProcess
from tests.workspace.folders import make_environment, write_files

NETS = """
import functools
from torchlike import nn

class Base(nn.Module):
    pass

class Mixin: pass

class Net(Base, Mixin):
    class Head(nn.Module):
        pass

def create(name: str):
    return Net()

def either(flag):
    return Net() if flag else Base()

@functools.lru_cache
def cached() -> Net: ...

constant = 3
"""
NET = ("nets.deep.Net", "nets.deep.Base", "torchlike.nn.modules.module.Module", "nets.deep.Mixin")


@pytest.fixture(autouse=True)
def patience_and_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and time enough for a busy machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for budget in ("FIRST_BUDGET", "BUDGET"):
        monkeypatch.setattr(jedi_process, budget, 120.0)


@pytest.fixture
def process(tmp_path: Path) -> JediProcess:
    packages = make_environment(tmp_path / ".venv", {})
    write_files(
        packages,
        {
            "torchlike/__init__.py": "",
            "torchlike/nn/__init__.py": "from torchlike.nn.modules.module import Module",
            "torchlike/nn/modules/__init__.py": "",
            "torchlike/nn/modules/module.py": "class Module: pass",
            "nets/__init__.py": "from nets.deep import Net, create, either, cached, constant",
            "nets/deep.py": NETS,
        },
    )
    return JediProcess((packages,), tmp_path / "cache" / "jedi")


async def answers(process: JediProcess, *questions: ClassAncestry | CallResult) -> list[Answer]:
    try:
        return [(await process.ask(question)).answer for question in questions]
    finally:
        await process.close()


def ask(process: JediProcess, *questions: ClassAncestry | CallResult) -> list[Answer]:
    return asyncio.run(answers(process, *questions))


def test_ancestry_and_results(process: JediProcess) -> None:
    assert ask(
        process,
        ClassAncestry("nets.Net", "a.py"),
        ClassAncestry("nets.Net.Head", "a.py"),
        ClassAncestry("nets.create", "a.py"),
        ClassAncestry("nets.absent", "a.py"),
        ClassAncestry("absent", "a.py"),
        ClassAncestry("not a name(", "a.py"),
        CallResult("nets.create", "a.py"),
        CallResult("nets.either", "a.py"),
        CallResult("nets.cached", "a.py"),
        CallResult("nets.Net", "a.py"),
        CallResult("nets.constant", "a.py"),
    ) == [
        ("nets.deep.Base", "torchlike.nn.modules.module.Module", "nets.deep.Mixin"),
        ("torchlike.nn.modules.module.Module",),
        None,
        None,
        None,
        None,
        NET,
        None,  # either of two classes
        NET,
        NET,
        None,
    ]


def test_it_keeps_its_cache_in_its_own_folder(process: JediProcess, tmp_path: Path) -> None:
    ask(process, ClassAncestry("nets.Net", "a.py"))
    assert any((tmp_path / "cache").rglob("*.pkl"))


def test_without_a_place_for_its_cache_it_says_the_same(process: JediProcess, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, where a folder should be")
    assert ask(process, CallResult("nets.cached", "a.py")) == [NET]


def test_killed_between_two_questions_it_loses_none(process: JediProcess) -> None:
    async def scenario() -> list[Answer]:
        first = await process.ask(CallResult("nets.create", "a.py"))
        child = process._process
        assert child is not None
        child.kill()
        await child.wait()
        return [first.answer, *await answers(process, CallResult("nets.cached", "a.py"))]

    assert asyncio.run(scenario()) == [NET, NET]


def test_without_an_environment_nothing_is_started(tmp_path: Path) -> None:
    assert ask(JediProcess((), tmp_path), ClassAncestry("nets.Net", "a.py")) == [None]


def test_past_its_budget_it_is_killed_and_started_anew(
    process: JediProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "hang.py"
    hanging.write_text("import sys\nsys.stdin.readline()\nsys.stdin.read()\n")
    pids: list[int] = []

    async def scenario() -> list[Answer]:
        with monkeypatch.context() as patched:
            patched.setattr(jedi_process, "_WORKER", hanging)
            patched.setattr(jedi_process, "FIRST_BUDGET", 0.05)
            start = process._start

            async def started() -> asyncio.subprocess.Process:
                child = await start()
                pids.append(child.pid)
                return child

            patched.setattr(process, "_start", started)
            first = await process.ask(ClassAncestry("nets.Net", "a.py"))
            assert first.lost
        return [first.answer, *await answers(process, CallResult("nets.create", "a.py"))]

    assert asyncio.run(scenario()) == [None, NET]
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.skipif(os.name == "nt", reason="there is no such clock")
def test_its_budget_is_of_its_own_time(process: JediProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is: what only waits is not at the end of its time, what works is."""
    with monkeypatch.context() as patched:
        patched.setattr(jedi_process, "FIRST_BUDGET", 0.01)
        patched.setattr(jedi_process, "WAIT", 12_000.0)

        async def scenario() -> jedi_process.Told:
            try:
                return await process.ask(ClassAncestry("nets.Net", "a.py"))
            finally:
                await process.close()

        told = asyncio.run(scenario())
    assert told == jedi_process.Told(None, seconds=0.01, spent=True)
    (told,) = asyncio.run(timed(process, CallResult("nets.create", "a.py")))
    assert 0 < told.seconds < jedi_process.FIRST_BUDGET


async def timed(process: JediProcess, question: CallResult) -> list[jedi_process.Told]:
    try:
        return [await process.ask(question)]
    finally:
        await process.close()


def test_a_cancelled_question_leaves_no_answer_behind_for_the_next(process: JediProcess) -> None:
    async def scenario() -> list[Answer]:
        task = asyncio.create_task(process.ask(ClassAncestry("nets.Net", "a.py")))
        while process._process is None:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await answers(process, CallResult("nets.create", "a.py"))

    assert asyncio.run(scenario()) == [NET]


@pytest.mark.skipif(os.name == "nt", reason="there is no such clock")
def test_what_takes_too_long_says_nothing_of_the_next_question(
    process: JediProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many such questions there are in a row."""

    async def scenario() -> list[Answer]:
        with monkeypatch.context() as patched:
            patched.setattr(jedi_process, "FIRST_BUDGET", 0.01)
            patched.setattr(jedi_process, "WAIT", 12_000.0)
            for _ in range(jedi_process.ATTEMPTS + 1):
                assert (await process.ask(ClassAncestry("nets.Net", "a.py"))).spent
        return await answers(process, CallResult("nets.create", "a.py"))

    assert asyncio.run(scenario()) == [NET]


def test_a_name_is_asked_for_where_it_is_defined(tmp_path: Path) -> None:
    """What stands between is not inferred: these modules could not be."""
    packages = make_environment(tmp_path / ".venv", {})
    write_files(
        packages,
        {
            "hub/__init__.py": "if TYPE_CHECKING:\n    from .models import *\nelse:\n    LAZY = 1\n",
            "hub/models/__init__.py": "from .nets import *\nfrom .more import *\n",
            "hub/models/nets.py": "__all__ = ['Net']\nclass Base: pass\nclass Net(Base):\n"
            "    @classmethod\n    def load(cls): return cls()\n",
            "hub/models/more.py": "__all__ = ['Other']\nclass Net: pass\nclass Other(Net): pass\n",
        },
    )
    process = JediProcess((packages,), tmp_path / "cache" / "jedi")
    questions = ClassAncestry("hub.Net", "a.py"), CallResult("hub.Net.load", "a.py"), ClassAncestry("hub.Ne", "a.py")

    async def scenario() -> list[jedi_process.Told]:
        try:
            return [await process.ask(question) for question in questions]
        finally:
            await process.close()

    told = asyncio.run(scenario())
    assert [each.answer for each in told] == [
        ("hub.models.nets.Base",),
        ("hub.models.nets.Net", "hub.models.nets.Base"),
        None,
    ]
    read = [{Path(path).name for path in each.files if Path(path).parent.name == "models"} for each in told]
    assert [sorted(names - {"__init__.py", "nets.pyi", "__init__.pyi"}) for names in read] == [
        ["nets.py"],
        ["nets.py"],
        [],
    ]
    assert str(packages / "hub" / "__init__.py") in told[2].files


def test_after_some_losses_it_is_left_alone(
    process: JediProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "die.py"
    dying.write_text("")
    monkeypatch.setattr(jedi_process, "_WORKER", dying)
    question = ClassAncestry("nets.Net", "a.py")
    assert ask(process, *[question] * jedi_process.ATTEMPTS) == [None] * jedi_process.ATTEMPTS
    monkeypatch.setattr(process, "_start", None)  # would fail if it were called
    assert ask(process, question) == [None]
