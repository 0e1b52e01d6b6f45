"""A session: settings, answers, and the question loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from gradsense.config import RuleName, Settings
from gradsense.engine import Analysis
from gradsense.findings import Finding, Severity, Span
from gradsense.snapshot import (
    Answer,
    ClassAncestry,
    InstalledVersion,
    ModuleSource,
    Question,
    Snapshot,
    SourceFile,
)
from gradsense.workspace import solve
from gradsense.workspace.environments import Surroundings
from gradsense.workspace.jedi_process import JediProcess, Told
from gradsense.workspace.session import Session
from tests.workspace.folders import make_environment, write_files

RULES = (RuleName("GS101", "missing-loss-return"), RuleName("GS401", "gradients-cleared-before-step"))
Analyse = Callable[[Snapshot], Analysis]


def session_on(*roots: Path) -> Session:
    return Session(roots, surroundings=Surroundings(), rules=RULES)


def answer(session: Session, question: Question, overlay: Mapping[str, str] | None = None) -> Answer:
    async def scenario() -> Answer:
        try:
            return (await session.answer([question], overlay or {}))[question]
        finally:
            await session.close()

    return asyncio.run(scenario())


# --- settings


def test_the_nearest_configuration_applies(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "pyproject.toml": "[tool.gradsense]\nignore = ['GS1']\nper-file-ignores = {'b.py' = ['GS4']}\n",
            "deep/pyproject.toml": "[project]\nname = 'other'\n",
            "deep/own/pyproject.toml": "[tool.gradsense]\nlightning-version = '1.9'\n",
        },
    )
    session = session_on(tmp_path)
    assert session.settings_for(tmp_path / "a.py")[0].enabled == {"GS401"}
    assert session.settings_for(tmp_path / "deep" / "b.py")[0].enabled == frozenset()
    own, problems = session.settings_for(tmp_path / "deep" / "own" / "c.py")
    assert (own.enabled, own.lightning_version, problems) == (None, "1.9", [])


def test_no_configuration_is_read_from_outside_the_roots(tmp_path: Path) -> None:
    write_files(tmp_path, {"pyproject.toml": "[tool.gradsense]\nignore = ['GS1']\n"})
    assert session_on(tmp_path / "root").settings_for(tmp_path / "root" / "a.py")[0] == Settings()


@pytest.mark.parametrize(
    "content", [b"[tool.gradsense\n", b"[tool]\ngradsense = 3\n", b"\xff\xfe", b"x = " + b"[" * 5000]
)
def test_broken_toml_is_told_and_stops_nothing(tmp_path: Path, content: bytes) -> None:
    write_files(tmp_path, {"pyproject.toml": content})
    settings, (problem,) = session_on(tmp_path).settings_for(tmp_path / "a.py")
    assert settings == Settings()
    assert problem.file == str(tmp_path / "pyproject.toml")
    assert "defaults apply" in problem.message


def test_problems_name_their_file_and_reload_reads_anew(tmp_path: Path) -> None:
    write_files(tmp_path, {"pyproject.toml": "[tool.gradsense]\nselct = []\n"})
    session = session_on(tmp_path)
    (problem,) = session.settings_for(tmp_path / "a.py")[1]
    assert problem.file == str(tmp_path / "pyproject.toml")
    assert problem.key == ("selct",)
    write_files(tmp_path, {"pyproject.toml": "[tool.gradsense]\nselect = ['GS101']\n"})
    assert session.settings_for(tmp_path / "a.py")[1]
    session.reload()
    assert session.settings_for(tmp_path / "a.py") == (Settings(enabled=frozenset({"GS101"})), [])


def test_a_file_belongs_to_the_innermost_root(tmp_path: Path) -> None:
    session = session_on(tmp_path, tmp_path / "a" / "b")
    assert session.root_of(tmp_path / "a" / "c.py") == tmp_path
    assert session.root_of(tmp_path / "a" / "b" / "c.py") == tmp_path / "a" / "b"
    assert session.root_of("/elsewhere/x.py") == Path("/elsewhere")


# --- answers


def test_module_sources_come_from_files_and_open_documents(tmp_path: Path) -> None:
    write_files(tmp_path, {"train.py": "", "models.py": "saved = 1\r\n"})
    question = ModuleSource("models", str(tmp_path / "train.py"))
    models = str(tmp_path / "models.py")
    session = session_on(tmp_path)
    assert answer(session, question) == SourceFile(models, "saved = 1\r\n")
    assert answer(session, question, {models: "unsaved"}) == SourceFile(models, "unsaved")
    write_files(tmp_path, {"models.py": "changed = True\n"})
    assert answer(session, question) == SourceFile(models, "changed = True\n")
    (tmp_path / "models.py").unlink()
    assert answer(session, question) is None
    assert answer(session, question, {models: "only in the editor"}) is not None


def test_nothing_outside_the_roots_is_read(tmp_path: Path) -> None:
    root = write_files(tmp_path / "root", {"train.py": "", "pkg/__init__.py": ""})
    write_files(tmp_path, {"secret.py": "password = 1"})
    (root / "link.py").symlink_to(tmp_path / "secret.py")
    session = session_on(root)
    for module in ("link", "..secret", ".link", "secret"):
        assert answer(session, ModuleSource(module, str(root / "train.py"))) is None


def test_editable_installs_are_found_where_they_lie(tmp_path: Path) -> None:
    packages = make_environment(tmp_path / "root" / ".venv", {})
    root = write_files(tmp_path / "root", {"train.py": "", "libs/nets/src/nets/__init__.py": "here"})
    write_files(tmp_path, {"elsewhere/secret.py": ""})
    linked = f"import os; os.abort()\n{root}/libs/nets/src\n{tmp_path}/elsewhere\n/nowhere\n"
    write_files(packages, {"__editable__.nets.pth": linked})
    session = session_on(root)
    nets = answer(session, ModuleSource("nets", str(root / "train.py")))
    assert nets == SourceFile(str(root / "libs/nets/src/nets/__init__.py"), "here")
    assert answer(session, ModuleSource("secret", str(root / "train.py"))) is None


def test_unreadable_modules_are_not_known(tmp_path: Path) -> None:
    write_files(tmp_path, {"train.py": "", "models.py": b"\xff\xfe\x00"})
    assert answer(session_on(tmp_path), ModuleSource("models", str(tmp_path / "train.py"))) is None


def test_jedi_is_not_asked_about_the_users_own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"models.py": "class Net: pass\n"})
    importer = str(tmp_path / "train.py")

    async def ask(_: JediProcess, question: Question) -> Told:
        raise AssertionError(question)

    monkeypatch.setattr(JediProcess, "ask", ask)
    about = ClassAncestry("models.Net", importer)
    answers = asyncio.run(session_on(tmp_path).answer([about, ModuleSource("models", importer)]))
    assert answers[about] is None


def test_versions_and_classes_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packages = make_environment(tmp_path / ".venv", {"lightning": "2.4.0"})
    write_files(packages, {"zoo.py": "class Animal: pass\nclass Cat(Animal): pass\n"})
    importer = str(tmp_path / "train.py")
    session = session_on(tmp_path)
    assert answer(session, InstalledVersion("lightning", importer)) == "2.4.0"
    assert answer(session, InstalledVersion("timm", importer)) is None
    assert answer(session, ClassAncestry("zoo.Cat", importer)) == ("zoo.Animal",)


def test_the_chosen_interpreter_answers_for_versions_too(tmp_path: Path) -> None:
    make_environment(tmp_path / ".venv", {"torch": "2.0", "lightning": "2.0.0"})
    make_environment(tmp_path / "elsewhere", {"torch": "2.1", "lightning": "2.1.0"})
    chosen = str(tmp_path / "elsewhere" / "bin" / "python")
    session = Session([tmp_path], surroundings=Surroundings(), rules=RULES, interpreter=chosen)
    assert session.interpreter_for(tmp_path / "a.py").path == Path(chosen)
    assert answer(session, InstalledVersion("lightning", str(tmp_path / "a.py"))) == "2.1.0"


# --- the loop


def asking(monkeypatch: pytest.MonkeyPatch, analyse: Analyse) -> None:
    monkeypatch.setattr(solve, "analyse", analyse)


def finding(message: str) -> Finding:
    return Finding("GS101", "missing-loss-return", Severity.ERROR, Span(0, 0), message)


def test_the_loop_follows_imports_until_nothing_new_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"a.py": "b", "b.py": "c", "c.py": "a"})
    seen: list[int] = []

    def analyse(snapshot: Snapshot) -> Analysis:
        seen.append(len(snapshot.answers))
        files = [SourceFile(snapshot.path, snapshot.text)]
        files += [answer for answer in snapshot.answers.values() if isinstance(answer, SourceFile)]
        questions = frozenset(ModuleSource(file.text, file.path) for file in files)
        return Analysis((finding(str(len(files))),), questions)

    asking(monkeypatch, analyse)
    session = session_on(tmp_path)
    snapshot = Snapshot(str(tmp_path / "a.py"), "b", Settings())
    assert session.solve(snapshot).findings == (finding("4"),)
    assert seen == [0, 1, 2, 3]
    # The second time, the first analysis already knows what the last one asked.
    assert session.solve(snapshot).findings == (finding("4"),)
    assert seen[4:] == [3]
    session.close_now()


def test_a_question_that_changes_in_each_round_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def analyse(snapshot: Snapshot) -> Analysis:
        question = ModuleSource(f"m{len(snapshot.answers)}", str(tmp_path / "a.py"))
        return Analysis((), frozenset({question, *snapshot.answers}))

    asking(monkeypatch, analyse)
    session = session_on(tmp_path)
    assert session.solve(Snapshot("a.py", "", Settings())).questions
    session.close_now()


def test_without_an_answer_there_is_no_further_analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def analyse(snapshot: Snapshot) -> Analysis:
        seen.append(len(snapshot.answers))
        return Analysis((), frozenset({ModuleSource("nowhere", snapshot.path)}))

    asking(monkeypatch, analyse)
    session = session_on(tmp_path)
    session.solve(Snapshot(str(tmp_path / "a.py"), "", Settings()))
    assert seen == [0]
    session.close_now()


def test_no_analysis_is_spent_on_finding_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"a.py": "from . import b", "b.py": "import torch, c\n", "c.py": "import a\n"}
    write_files(tmp_path, files)
    seen: list[set[str]] = []

    def analyse(snapshot: Snapshot) -> Analysis:
        answers = snapshot.answers.values()
        seen.append({Path(answer.path).name for answer in answers if isinstance(answer, SourceFile)})
        return Analysis((), frozenset())

    asking(monkeypatch, analyse)
    session = session_on(tmp_path)
    session.solve(Snapshot(str(tmp_path / "a.py"), files["a.py"], Settings()))
    assert seen == [{"a.py", "b.py", "c.py"}]
    session.close_now()


def test_the_first_analysis_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def analyse(snapshot: Snapshot) -> Analysis:
        return Analysis((finding(str(len(snapshot.answers))),), frozenset({ClassAncestry("zoo.Cat", "a.py")}))

    asking(monkeypatch, analyse)
    session = session_on(tmp_path)

    async def scenario() -> list[str]:
        answered = asyncio.Event()

        async def answer(questions: Iterable[Question], *_: object) -> dict[Question, Answer]:
            await answered.wait()
            return dict.fromkeys(questions, ("builtins.object",))

        monkeypatch.setattr(session, "answer", answer)
        messages: list[str] = []
        async for current in session.analyses(Snapshot(str(tmp_path / "a.py"), "", Settings())):
            messages.append(current.analysis.findings[0].message)
            answered.set()
        return messages

    assert asyncio.run(scenario()) == ["0", "1"]


def test_that_there_is_no_answer_is_news_for_who_waits_for_it(tmp_path: Path) -> None:
    """What is told of suppressions does not depend on which file has asked before."""
    text = "import torch\nimport zoo\n\n\nclass Net(zoo.Base):\n    size = 1  # gradsense: ignore\n"
    session = session_on(tmp_path)
    for name in ("first.py", "second.py"):
        snapshot = Snapshot(str(tmp_path / name), text, Settings(enabled=frozenset({"GS901"})))
        assert [finding.code for finding in session.solve(snapshot).findings] == ["GS901"]
    session.close_now()
