"""Files and folders that somebody has made to be read: nothing of them ends, hangs or leads out of the workspace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradsense.config import RuleName
from gradsense.snapshot import InstalledVersion, ModuleSource
from gradsense.workspace.configuration_file import find_configuration
from gradsense.workspace.discovery import python_files
from gradsense.workspace.environments import Surroundings
from gradsense.workspace.files import UnreadableFile, read_bytes
from gradsense.workspace.roots import project_root
from gradsense.workspace.session import Session
from tests.workspace.folders import make_environment, write_files

RULES = (RuleName("GS101", "missing-loss-return"),)


def session_of(root: Path) -> Session:
    return Session([root], surroundings=Surroundings(), rules=RULES)


def test_links_that_lead_in_circles_are_passed_by(tmp_path: Path) -> None:
    root = write_files(tmp_path / "root", {"a.py": "", "package/__init__.py": ""})
    for link, target in (("loop.py", "loop.py"), ("loop", "loop"), (".venv", ".venv"), ("here", ".")):
        (root / link).symlink_to(target)
    (root / "package" / "up").symlink_to("..")
    (root / "pyproject.toml").symlink_to("pyproject.toml")
    assert [path.name for path in python_files(root)] == ["a.py", "__init__.py"]
    user = str(root / "a.py")
    session = session_of(root)
    assert session.environments_for(user) == ()
    assert session.settings_for(user)[1] == []
    asked = [ModuleSource(name, user) for name in ("loop", "here.here.loop", "package.up.loop")]
    assert list(session.known(asked).values()) == [None, None, None]


def test_links_out_of_the_workspace_are_not_followed(tmp_path: Path) -> None:
    outside = write_files(tmp_path / "outside", {"secret.py": "key = 1\n", "package/__init__.py": ""})
    root = write_files(tmp_path / "root", {"a.py": "", "deep/b.py": ""})
    (root / "secret.py").symlink_to(outside / "secret.py")
    (root / "package").symlink_to(outside / "package")
    (root / "deep" / "inside.py").symlink_to("../a.py")
    assert [str(path.relative_to(root)) for path in python_files(root)] == ["a.py", "deep/b.py", "deep/inside.py"]
    # A folder of a project is checked with what the rest of the project lends it.
    assert [path.name for path in python_files(root / "deep")] == ["b.py"]
    assert [path.name for path in python_files(root / "deep", root)] == ["b.py", "inside.py"]
    user = str(root / "a.py")
    session = session_of(root)
    assert list(session.known([ModuleSource("secret", user), ModuleSource("package", user)]).values()) == [None, None]
    assert session.text_of(str(root / "secret.py")) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has none of these")
def test_what_is_no_file_is_passed_by_and_what_never_ends_is_cut(tmp_path: Path) -> None:
    root = write_files(tmp_path, {"a.py": ""})
    os.mkfifo(root / "pipe.py")
    (root / "zero.py").symlink_to("/dev/zero")
    (root / "folder.py").mkdir()
    (root / "gone.py").symlink_to("nowhere")  # as Emacs marks a file that is being edited
    assert [path.name for path in python_files(root)] == ["a.py"]
    for name in ("pipe.py", "zero.py", "folder.py", "gone.py"):
        with pytest.raises(UnreadableFile):
            read_bytes(root / name)
    endless = Path("/proc/self/smaps")  # says of itself that it is empty
    if endless.exists():
        with pytest.raises(UnreadableFile, match="larger than"):
            read_bytes(endless, 16)


def test_no_name_is_too_long(tmp_path: Path) -> None:
    root = write_files(tmp_path / "root", {"a.py": ""})
    make_environment(root / ".venv", {"torch": "2.0.0"})
    user, long = str(root / "a.py"), "x" * 5000
    session = session_of(root)
    asked = [ModuleSource(long, user), ModuleSource(f"{long}.y", user), ModuleSource("y", f"/{long}/{long}.py")]
    assert list(session.known(asked).values()) == [None, None, None]
    assert session.interpreter_for(user, f"/{long}").path == root / ".venv" / "bin" / "python"
    assert session.settings_for(f"/{long}/a.py")[1] == []
    assert session.root_of(f"/{long}/a.py") == Path(f"/{long}")
    assert project_root(Path(f"/{long}/a.py"), root) == Path(f"/{long}")


DEEP = "(" * 3000 + "python_version > '3'" + ")" * 3000


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": f"lightning=={'1' * 5000}\nlightning; {DEEP}\n{'[' * 10_000}\n"},
        {"pyproject.toml": f'[project]\ndependencies = ["lightning=={"9" * 5000}", "torch; {DEEP}"]\n'},
        {"pyproject.toml": f'[tool.poetry.dependencies]\nlightning = "^{"9" * 5000}.1"\n'},
        {"uv.lock": f'[[package]]\nname = "lightning"\nversion = "{"9" * 5000}"\n'},
        {"poetry.lock": "package = 3\n", "pdm.lock": "[[package]]\nname = 3\n", "pylock.toml": "[" * 5000},
        {"environment.yml": f"- lightning={'9' * 5000}=x\n"},
        {"pyproject.toml": "a = " + "[" * 100_000},
        {"pyproject.toml": f"a = {'9' * 5000}\n[tool.gradsense]\nselect = 3\n"},
    ],
    ids=range(8),
)
def test_no_project_file_is_too_much(tmp_path: Path, files: dict[str, str]) -> None:
    root = write_files(tmp_path, files)
    user = str(root / "a.py")
    session = session_of(root)
    session.settings_for(user)
    asked = [InstalledVersion("lightning", user), InstalledVersion("torch", user)]
    assert all(answer is None or len(answer) < 6000 for answer in session.known(asked).values())


def test_a_configuration_that_nobody_wrote_is_told(tmp_path: Path) -> None:
    root = write_files(tmp_path, {"gradsense.toml": "ignore = ['GS101']\n" + "#" * 1024 * 1024})
    found = find_configuration(root, root, RULES)
    assert "larger than 1 MiB" in found.problems[0].message
    assert "GS101" in (found.configuration.settings_for("a.py").enabled or "GS101")


def test_an_environment_may_say_anything(tmp_path: Path) -> None:
    root = tmp_path / "root"
    packages = make_environment(root / ".venv", {"torch": "2.0.0"})
    write_files(
        packages,
        {
            "far.pth": "/\n/etc\nimport os; os.abort()\n\0\n" + "x" * 100_000,
            "torch-9.dist-info/METADATA": "",
            "-.dist-info/METADATA": "",
            f"lightning-{'9' * 100}.dist-info/METADATA": "",
        },
    )
    write_files(root / ".venv", {"pyvenv.cfg": "home = \0\nversion = \xff\ninclude-system-site-packages = true\n"})
    user = str(root / "a.py")
    session = session_of(root)
    environment = session.environment_for(user)
    assert environment is not None
    assert environment.has("torch")
    asked = [ModuleSource("passwd", user), InstalledVersion("torch", user), InstalledVersion("lightning", user)]
    assert session.known(asked)[asked[0]] is None
