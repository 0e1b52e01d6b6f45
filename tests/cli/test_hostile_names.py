"""File names that are more than names to a terminal, a log, a patch or a shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from tests.cli.conftest import Run
from tests.workspace.folders import write_files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")

NAMES = (
    b"a\nb.py",
    b"\x1b[31mred.py",
    b"quote'\"`$(x).py",
    b"%0A::error file=x::pwn.py",
    b"<img src=x onerror=alert(1)>.py",
    b"[words](command:quit).py",
    b"[bold red]rich.py",
    "\u202egnp.py".encode(),
    b"\xff\xfe.py",
    b"-rf.py",
    b"a,b::c.py",
    b" .py",
    b"back\\slash.py",
)


@pytest.fixture
def named(folder: Path) -> Path:
    for name in NAMES:
        (folder / os.fsdecode(name)).write_text("x = 1\nbad()\n")
    return folder


@pytest.mark.parametrize("form", ["text", "concise", "github"])
def test_a_name_is_one_line_and_steers_nothing(run: Run, named: Path, form: str) -> None:
    result = run("check", "--format", form)
    assert result.code == 1
    if form == "github":
        lines = result.out.splitlines()
        assert len(lines) == len(NAMES)
        assert all(line.startswith("::error title=") and line.count("::") == 2 for line in lines)
        assert "file=%250A%3A%3Aerror file=x%3A%3Apwn.py," in result.out
        return
    assert "\x1b" not in result.out
    assert r"a\nb.py:2:1" in result.out
    assert r"\u202egnp.py:2:1" in result.out
    assert r"\x1b[31mred.py:2:1" in result.out
    assert "[bold red]rich.py:2:1" in result.out
    assert len([line for line in result.out.split("\n") if ".py:2:1" in line]) == len(NAMES)


def test_machines_get_the_very_names(run: Run, named: Path) -> None:
    paths = {os.fsencode(os.path.basename(found["path"])) for found in json.loads(run("check", "--format=json").out)}
    assert paths == set(NAMES)
    (sarif,) = json.loads(run("check", "--format=sarif").out)["runs"]
    uris = {found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for found in sarif["results"]}
    assert {unquote_to_bytes(uri) for uri in uris} == set(NAMES)


def test_a_patch_names_each_file_so_that_git_finds_it(run: Run, named: Path) -> None:
    patch = run("check", "--diff").out
    assert "\x1b" not in patch
    subprocess.run(["git", "init", "-q", named / "copy"], check=True)
    for name in NAMES:
        (named / "copy" / os.fsdecode(name)).write_bytes((named / os.fsdecode(name)).read_bytes())
    applied = subprocess.run(["git", "apply", "-"], cwd=named / "copy", input=patch, text=True, check=False)
    assert applied.returncode == 0
    assert all((named / "copy" / os.fsdecode(name)).read_text() == "x = 1\ngood()\n" for name in NAMES)


def test_a_baseline_knows_each_of_them_again(run: Run, named: Path) -> None:
    assert run("check", "--write-baseline", "known.json").code == 0
    assert run("check", "--baseline", "known.json").code == 0


def test_links_out_of_the_project_are_neither_read_nor_written(run: Run, folder: Path) -> None:
    project = write_files(folder / "project", {"a.py": "bad()\n", ".git/HEAD": ""})
    outside = write_files(folder / "outside", {"b.py": "bad()\n"})
    (project / "b.py").symlink_to(outside / "b.py")
    (project / "loop.py").symlink_to("loop.py")
    (project / "loops").symlink_to("loops")
    result = run("check", "--fix", "project")
    assert result.code == 0, result.err
    assert (project / "a.py").read_text() == "good()\n"
    assert (outside / "b.py").read_text() == "bad()\n"
    # Who names the link itself means what it leads to.
    assert run("check", "project/b.py").code == 1


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_no_terminal_lacks_too_much(named: Path, locale: str) -> None:
    for form in ("text", "concise", "json", "sarif", "github"):
        done = subprocess.run(
            [sys.executable, "-m", "gradsense", "check", "--format", form, "."],
            cwd=named,
            env={**os.environ, "LC_ALL": locale, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
