"""Invariant 2: nothing of the user's is executed, however inviting the workspace is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from gradsense.config import RuleName
from gradsense.snapshot import Answer, CallResult, ClassAncestry, InstalledVersion, ModuleSource, Question
from gradsense.workspace.environments import Surroundings
from gradsense.workspace.jedi_process import JediProcess
from gradsense.workspace.session import Session
from tests.workspace.folders import make_environment, write_files

MODULES = (
    "torch",
    "jedi",
    "parso",
    "libcst",
    "gi",
    "math",
    "_socket",
    "numpy",
    "json",
    "enum",
    "abc",
    "six",
    "encodings",
)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def root(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace in which every file that Python could run on its own writes the marker."""
    root = tmp_path / "root"
    packages = make_environment(root / ".venv", {"torch": "2.13.0", "lightning": "2.6.6"})
    evil = f"open({str(marker)!r}, 'a').write(__name__ + chr(10))\n"
    trap = f"{evil}class Module: pass\ndef make() -> Module:\n    {evil}    return Module()\n"
    files = {f"{name}/__init__.py": trap for name in MODULES}
    files |= {f"{name}.py": evil for name in ("sitecustomize", "usercustomize", "conftest", "setup")}
    write_files(root, files)
    write_files(
        packages,
        {
            **files,
            "evil.pth": f"import sys; {evil}",
            "torch/_C.so": b"\x7fELF not really",
            "torch/__init__.py": trap,
            "elsewhere/__init__.py": trap,
        },
    )
    write_files(root, {"user.py": trap, "pyproject.toml": "[tool.gradsense]\nignore = ['GS1']\n"})
    interpreter = root / ".venv" / "bin" / "python"
    interpreter.write_text(f"#!/bin/sh\necho python >> {marker}\n")
    interpreter.chmod(0o755)
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setenv("PYTHONSTARTUP", str(root / "user.py"))
    monkeypatch.setenv("PYTHONHOME", str(root / ".venv"))
    return root


def test_nothing_is_executed(root: Path, marker: Path) -> None:
    user = str(root / "user.py")
    questions: list[Question] = [
        *(ModuleSource(name, user) for name in (*MODULES, "sitecustomize", "user")),
        *(ClassAncestry(f"{name}.Module", user) for name in MODULES),
        *(CallResult(f"{name}.make", user) for name in MODULES),
        CallResult("elsewhere.make", user),
        ClassAncestry("torch._C.Tensor", user),
        InstalledVersion("lightning", user),
    ]

    async def scenario() -> dict[Question, Answer]:
        surroundings = Surroundings(str(root / ".venv"), str(root / ".venv"), (str(root / ".venv" / "bin"),))
        session = Session([root], surroundings=surroundings, rules=(RuleName("GS101", "missing-loss-return"),))
        session.settings_for(user)
        assert session.interpreter_for(user).path == root / ".venv" / "bin" / "python"
        assert session.interpreter_for(user, ".venv/bin/python").path is not None
        try:
            return await session.answer(questions)
        finally:
            await session.close()

    answers = asyncio.run(scenario())
    assert not marker.exists(), marker.read_text()
    # The traps were looked at, not passed by. What the root has itself is the user's: nobody asks jedi about it.
    assert answers[CallResult("elsewhere.make", user)] == ("elsewhere.Module",)
    assert answers[CallResult("torch.make", user)] is None
    assert answers[InstalledVersion("lightning", user)] == "2.6.6"
    assert answers[ModuleSource("user", user)] is not None


def test_the_jedi_process_runs_nothing_of_the_environment_that_the_server_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interpreter runs the `.pth` files and the `sitecustomize` that it finds, unless told not to."""
    marker, server = tmp_path / "executed", tmp_path / "server"
    venv.create(server, symlinks=os.name != "nt")
    packages = next(server.glob("[Ll]ib/**/site-packages"))
    evil = f"import sys; open({str(marker)!r}, 'a').write('x')\n"
    write_files(packages, {"evil.pth": evil, "sitecustomize.py": evil})
    interpreter = server / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([interpreter, "-I", "-c", ""], check=True)
    assert marker.exists(), "the trap doesn't work"
    marker.unlink()

    users = make_environment(tmp_path / "users", {})
    write_files(users, {"nets.py": "class Base: pass\nclass Net(Base): pass\n"})
    monkeypatch.setattr(sys, "executable", str(interpreter))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    async def scenario() -> Answer:
        process = JediProcess((users,), tmp_path / "cache")
        try:
            return (await process.ask(ClassAncestry("nets.Net", "a.py"))).answer
        finally:
            await process.close()

    assert asyncio.run(scenario()) == ("nets.Base",)
    assert not marker.exists()


def test_the_command_line_executes_nothing(root: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder full of traps, as a user would run it."""
    for variable in ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME"):
        monkeypatch.delenv(variable)  # these would reach any Python, whoever starts it
    monkeypatch.setenv("VIRTUAL_ENV", str(root / ".venv"))
    monkeypatch.setenv("PATH", str(root / ".venv" / "bin"), prepend=":")
    program = "import torch, jedi, user\nfrom torch import Module, make\nclass Net(Module): pass\nmake()\n"
    write_files(root, {"train.py": program})
    gradsense = Path(sys.executable).with_name("gradsense")
    for arguments in (["check"], ["check", "--fix"], ["check", "-"], ["rules"], ["explain", "GS401"]):
        done = subprocess.run(
            [gradsense, *arguments], cwd=root, input=program, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr
    # Enough of them for processes of their own, which start in this folder.
    write_files(root, {f"many{number}.py": f"{program}{'# more' * 20_000}\n" for number in range(2)})
    write_files(
        root, {f"{name}.py": f"open({str(marker)!r}, 'a')\n" for name in ("multiprocessing", "pickle", "struct")}
    )
    many = [gradsense, "check", "--jobs", "2", "--verbose", "--cache-dir", str(marker.with_name("kept"))]
    done = subprocess.run(many, cwd=root, capture_output=True, text=True, check=False)
    assert "analysed by 2 processes" in done.stderr
    assert not marker.exists(), marker.read_text()
