"""What is kept of jedi's answers from session to session, and when it is looked up anew."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from gradsense.snapshot import Answer, CallResult, ClassAncestry
from gradsense.workspace.class_answers import ClassAnswers, ClassQuestion, Packages, Patience
from gradsense.workspace.jedi_process import JediProcess, Told
from gradsense.workspace.store import Store
from tests.workspace.folders import make_environment, write_files

CAT = ClassAncestry("zoo.Cat", "a.py")


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    folder = make_environment(tmp_path / ".venv", {})
    write_files(folder, {"zoo.py": "from animals import Animal\nclass Cat(Animal): pass\n"})
    write_files(folder, {"animals.py": "class Animal: pass\n"})
    return (folder,)


class Asked:
    """Sessions on one store, each of which notes what it could not tell without asking."""

    def __init__(self, tmp_path: Path) -> None:
        self.store = Store(tmp_path / "cache", "classes")
        self.jedi = tmp_path / "cache" / "jedi"
        self.questions: list[str] = []

    def answer(self, packages: Packages, question: ClassQuestion = CAT, patience: Patience | None = None) -> Answer:
        process = JediProcess(packages, self.jedi)

        async def look_up(packages: Packages, question: ClassQuestion) -> Told:
            self.questions.append(question.qualified)
            return await process.ask(question)

        async def scenario() -> Answer:
            try:
                return await ClassAnswers(self.store, look_up).ask(packages, question, patience or Patience())
            finally:
                await process.close()

        return asyncio.run(scenario())


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_several_processes_tell_at_a_time(tmp_path: Path, packages: Packages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many analyses ask; one that is free is asked again before there is another."""
    names = [f"zoo.Cat{number}" for number in range(6)]
    (packages[0] / "zoo.py").write_text("".join(f"class Cat{number}(object): pass\n" for number in range(6)))
    asked: set[JediProcess] = set()
    busy = 0
    most = 0
    ask = JediProcess.ask

    async def counted(process: JediProcess, question: ClassQuestion) -> Told:
        nonlocal busy, most
        asked.add(process)
        busy += 1
        most = max(most, busy)
        try:
            return await ask(process, question)
        finally:
            busy -= 1

    monkeypatch.setattr(JediProcess, "ask", counted)

    async def scenario() -> list[Answer]:
        answers = ClassAnswers(cache=tmp_path / "jedi", processes=2)
        try:
            first = await answers.ask(packages, ClassAncestry(names[0], "a.py"), Patience())
            assert len(asked) == 1
            rest = (answers.ask(packages, ClassAncestry(name, "a.py"), Patience()) for name in names[1:])
            return [first, *await asyncio.gather(*rest)]
        finally:
            await answers.close()

    assert asyncio.run(scenario()) == [()] * 6
    assert most == len(asked) == 2


def test_a_second_session_asks_nobody(asked: Asked, packages: Packages) -> None:
    assert asked.answer(packages) == asked.answer(packages) == ("animals.Animal",)
    assert asked.questions == ["zoo.Cat"]


def test_that_there_is_no_answer_is_kept_too(asked: Asked, packages: Packages) -> None:
    question = CallResult("zoo.absent", "a.py")
    assert asked.answer(packages, question) is asked.answer(packages, question) is None
    assert asked.questions == ["zoo.absent"]


def test_an_edit_of_a_file_that_was_read_has_it_asked_again(asked: Asked, packages: Packages) -> None:
    asked.answer(packages)
    write_files(packages[0], {"animals.py": "class Being: pass\nclass Animal(Being): pass\n"})
    assert asked.answer(packages) == ("animals.Animal", "animals.Being")


def test_so_has_a_package_that_comes_or_goes(asked: Asked, packages: Packages) -> None:
    asked.answer(packages)
    write_files(packages[0], {"other-1.0.dist-info/METADATA": ""})
    asked.answer(packages)
    assert asked.questions == ["zoo.Cat", "zoo.Cat"]


def test_an_answer_that_was_lost_is_not_kept(tmp_path: Path, packages: Packages) -> None:
    asked: list[str] = []

    async def lost(packages: Packages, question: ClassQuestion) -> Told:
        asked.append(question.qualified)
        return Told(None, lost=True)

    store = Store(tmp_path / "cache", "classes")
    first = ClassAnswers(store, lost)
    for answers in (first, first, ClassAnswers(store, lost)):
        assert asyncio.run(answers.ask(packages, CAT, Patience())) is None
    assert asked == ["zoo.Cat", "zoo.Cat"]


def test_what_took_too_long_twice_is_not_asked_again(tmp_path: Path, packages: Packages) -> None:
    """Once more it is, for what was parsed on the way makes the next time shorter."""
    asked: list[str] = []

    async def slow(packages: Packages, question: ClassQuestion) -> Told:
        asked.append(question.qualified)
        return Told(None, seconds=20.0, spent=True)

    store = Store(tmp_path / "cache", "classes")
    for session in range(1, 5):
        answers = ClassAnswers(store, slow)
        for _ in range(2):
            assert asyncio.run(answers.ask(packages, CAT, Patience())) is None
        assert len(asked) == min(session, 2)
    write_files(packages[0], {"other-1.0.dist-info/METADATA": ""})
    asyncio.run(ClassAnswers(store, slow).ask(packages, CAT, Patience()))
    assert len(asked) == 3


def test_a_file_whose_time_is_up_asks_nothing_more(packages: Packages) -> None:
    async def slow(packages: Packages, question: ClassQuestion) -> Told:
        return Told(("zoo.Cat",), seconds=20.0)

    async def scenario() -> list[Answer]:
        answers, patience = ClassAnswers(None, slow), Patience(30.0)
        names = ("zoo.a", "zoo.b", "zoo.c")
        first = [await answers.ask(packages, CallResult(name, "a.py"), patience) for name in names]
        return [*first, await answers.ask(packages, CallResult("zoo.c", "b.py"), Patience(30.0))]

    assert asyncio.run(scenario()) == [("zoo.Cat",), ("zoo.Cat",), None, ("zoo.Cat",)]


@pytest.mark.parametrize("damage", ["broken", "foreign", "read-only", "no folder"])
def test_a_cache_that_is_of_no_use_changes_no_answer(
    asked: Asked, packages: Packages, damage: str, tmp_path: Path
) -> None:
    if damage == "no folder":
        (tmp_path / "cache").write_text("a file where the folder should be")
    expected = asked.answer(packages)
    for path in (tmp_path / "cache").rglob("*.*"):
        if path.is_file():
            if damage == "broken":
                path.write_bytes(path.read_bytes()[:-7] + os.urandom(7))
            elif damage == "foreign":
                path.write_bytes(b"[[[")
            else:
                path.unlink()
                path.mkdir()
    assert asked.answer(packages) == expected == ("animals.Animal",)


def test_jedi_is_not_started_for_what_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose packages are elsewhere, as on a machine that only checks it."""
    folder = make_environment(tmp_path / ".venv", {})
    (folder / "typed-stubs").mkdir()
    (folder / "built.cpython-311-x86_64-linux-gnu.so").touch()
    asked: list[str] = []

    async def noted(self: JediProcess, question: ClassQuestion) -> Told:
        asked.append(question.qualified)
        return Told(None)

    monkeypatch.setattr(JediProcess, "ask", noted)

    async def scenario() -> None:
        answers = ClassAnswers()
        for name in ("timm.create_model", "typed.make", "built.make", "threading.Thread"):
            assert await answers.ask((folder,), CallResult(name, "a.py"), Patience()) is None
        write_files(folder, {"timm/__init__.py": ""})
        answers.forget()
        await answers.ask((folder,), CallResult("timm.create_model", "a.py"), Patience())

    asyncio.run(scenario())
    assert asked == ["typed.make", "built.make", "threading.Thread", "timm.create_model"]
