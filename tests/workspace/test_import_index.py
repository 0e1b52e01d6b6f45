"""Which files lead to a given one by their imports: as on disk, as typed, as far as anybody wants to know."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from gradsense.snapshot import FileSource, ImportedBy, SourceFile
from gradsense.workspace import import_index
from gradsense.workspace.environments import Surroundings
from gradsense.workspace.import_index import ImportIndex
from gradsense.workspace.session import Session
from tests.workspace.folders import make_environment, write_files


def leading_to(folder: Path, name: str, overlay: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Asked of a session of its own."""
    session = Session([folder], surroundings=Surroundings())
    question = ImportedBy(str(folder / name))
    try:
        typed = {str(folder / each): text for each, text in (overlay or {}).items()}
        answer = session._own_loop().run_until_complete(session.answer([question], typed))[question]
    finally:
        session.close_now()
    assert isinstance(answer, tuple)
    return answer


@pytest.mark.parametrize(
    "line",
    [
        "import lib.steps",
        "import os, lib.steps as s",
        "from lib.steps import train",
        "from lib import steps",
        "from lib import train",
        "    from lib.steps import (\n        train,\n    )",
    ],
)
def test_every_form_of_import_leads_there(tmp_path: Path, line: str) -> None:
    write_files(
        tmp_path, {"lib/__init__.py": "", "lib/steps.py": "", "run/main.py": f"{line}\n", "no.py": "import lib2\n"}
    )
    assert leading_to(tmp_path, "lib/steps.py") == ("../run/main.py",)


@pytest.mark.parametrize("line", ["from .steps import train", "from . import steps", "from ..lib.steps import train"])
def test_relative_imports_lead_there(tmp_path: Path, line: str) -> None:
    files = {
        "lib/__init__.py": "",
        "lib/steps.py": "",
        "lib/loop.py": f"{line}\n",
        "other/steps.py": "",
        "other/a.py": "from .steps import x\n",
    }
    write_files(tmp_path, files)
    assert leading_to(tmp_path, "lib/steps.py") == ("loop.py",)


def test_another_file_of_the_same_name_is_another_file(tmp_path: Path) -> None:
    write_files(tmp_path, {f"{each}/{name}": "import steps\n" for each in "ab" for name in ("steps.py", "main.py")})
    assert leading_to(tmp_path, "a/steps.py") == ("main.py",)


def test_the_fewest_imports_come_first_then_the_nearest_folder(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "lib/steps.py": "",
            "lib/loop.py": "from lib.steps import x\n",
            "far/away/main.py": "from lib.steps import x\n",
            "lib/main.py": "from lib.loop import x\n",
            "lib/last.py": "from lib.main import x\n",
        },
    )
    assert leading_to(tmp_path, "lib/steps.py") == ("loop.py", "../far/away/main.py", "main.py", "last.py")


def test_a_package_leads_on_and_tests_do_not_count(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "lib/steps.py": "",
            "lib/__init__.py": "from .steps import x\n",
            "main.py": "import lib\n",
            "tests/main.py": "import lib\n",
            "test_steps.py": "import lib.steps\n",
        },
    )
    assert leading_to(tmp_path, "lib/steps.py") == ("__init__.py", "../main.py")


def test_what_is_typed_counts_before_what_is_saved(tmp_path: Path) -> None:
    write_files(tmp_path, {"steps.py": "", "a.py": "import steps\n", "b.py": ""})
    assert leading_to(tmp_path, "steps.py", {"a.py": "", "b.py": "import steps\n"}) == ("b.py",)


def test_what_is_installed_since_is_no_longer_the_users(tmp_path: Path) -> None:
    """As an import finds an installed package before a folder of its name that is none."""
    write_files(tmp_path, {"lib/steps.py": "", "run/main.py": "from lib.steps import x\n"})
    session = Session([tmp_path], surroundings=Surroundings())
    question = ImportedBy(str(tmp_path / "lib" / "steps.py"))
    session.look_around(question.importer)
    assert session.known([question]) == {question: ("../run/main.py",)}
    make_environment(tmp_path / ".venv", {"lib": "1.0"})
    session.reload()
    assert session.known([question]) == {question: ()}


def test_circles_end(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.py": "import b\nimport a\n", "b.py": "import a\n"})
    assert leading_to(tmp_path, "a.py") == ("b.py",)


def test_what_is_no_text_imports_nothing(tmp_path: Path) -> None:
    write_files(tmp_path, {"steps.py": "", "a.py": b"\xff\xfeimport steps", "b.py": "import steps"})
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nowhere.py")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert leading_to(tmp_path, "steps.py") == ("b.py",)


def test_only_so_many_are_told(tmp_path: Path) -> None:
    write_files(tmp_path, {"steps.py": "", **{f"m{number:02}.py": "import steps\n" for number in range(40)}})
    assert leading_to(tmp_path, "steps.py") == tuple(f"m{number:02}.py" for number in range(16))


@pytest.mark.parametrize("most", ["_MOST_FILES", "_MOST_FOLDERS"])
def test_of_a_home_folder_the_project_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: str) -> None:
    """Of a root with too many files, or folders, the largest folder around a file that has not."""
    monkeypatch.setattr(import_index, most, 4)
    others = {f"other{number}/main.py": "import steps\n" for number in range(4)}
    write_files(tmp_path, {"p/lib/steps.py": "", "p/run/main.py": "from lib import steps\n", **others})
    assert leading_to(tmp_path, "p/lib/steps.py") == ("../run/main.py",)


def test_of_a_folder_that_is_too_large_itself_the_first_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_index, "_MOST_FILES", 3)
    write_files(tmp_path, {"steps.py": "", **{f"m{number}.py": "import steps\n" for number in range(5)}})
    assert leading_to(tmp_path, "steps.py") == ("m0.py", "m1.py", "m2.py")


def test_what_has_grown_too_large_is_read_closer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_index, "_MOST_FILES", 3)
    write_files(tmp_path, {"p/steps.py": "", "p/main.py": "import steps\n"})
    index, steps, root = ImportIndex(), str(tmp_path / "p" / "steps.py"), str(tmp_path)
    index.look(steps, root)
    write_files(tmp_path, {f"q/m{number}.py": "" for number in range(3)})
    assert index.look_again()
    assert not index.knows(steps, root)
    index.look(steps, root)
    assert index.leading_to(steps, root, {}, lambda module, importer: steps) == (str(tmp_path / "p" / "main.py"),)


def test_a_look_reads_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"steps.py": "", "a.py": "import steps\n", "b.py": "import os\n"})
    index = ImportIndex()
    read: list[str] = []
    read_bytes = import_index.read_bytes
    monkeypatch.setattr(
        import_index, "read_bytes", lambda path, most: [read.append(path.name), read_bytes(path, most)][1]
    )
    steps, root = str(tmp_path / "steps.py"), str(tmp_path)
    assert not index.knows(steps, root)
    index.look(steps, root)
    assert index.knows(steps, root)
    assert sorted(read) == ["a.py", "b.py", "steps.py"]
    read.clear()
    assert not index.look_again()
    assert read == []
    write_files(tmp_path, {"b.py": "import steps\n"})
    os.utime(tmp_path / "b.py", ns=(1, 1))
    assert index.look_again()
    assert read == ["b.py"]
    (tmp_path / "a.py").unlink()
    assert index.look_again()

    def resolve(module: str, importer: str) -> str | None:
        return str(tmp_path / f"{module}.py") if module == "steps" else None

    assert index.leading_to(steps, root, {}, resolve) == (str(tmp_path / "b.py"),)


def test_a_text_is_had_by_its_path_and_none_from_outside(tmp_path: Path) -> None:
    write_files(tmp_path, {"project/lib/steps.py": "", "project/main.py": "x = 1\n", "outside.py": "y = 1\n"})
    session = Session([tmp_path / "project"], surroundings=Surroundings())
    steps = str(tmp_path / "project" / "lib" / "steps.py")
    inside, outside = FileSource("../main.py", steps), FileSource("../../outside.py", steps)
    assert session.known([inside, outside]) == {
        inside: SourceFile(str(tmp_path / "project" / "main.py"), "x = 1\n"),
        outside: None,
    }
