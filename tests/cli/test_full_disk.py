"""The real command where nothing can be written: what it says is the same, and what it can't keep it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

resource = pytest.importorskip("resource")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(EXAMPLES / "cleared_before_step.py", project)
    return project


def gradsense(*arguments: str, folder: Path, room: bool) -> subprocess.CompletedProcess[str]:
    """Run the command on a disk that has room, or where a file may have no bytes at all."""

    def fill() -> None:
        if not room:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    return subprocess.run(
        [sys.executable, "-m", "gradsense", *arguments],
        cwd=folder,
        env={**os.environ, "GRADSENSE_CACHE_DIR": str(folder.parent / "cache")},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=fill,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_findings_need_no_disk(folder: Path) -> None:
    before = files(folder)
    full = gradsense("check", folder=folder, room=False)
    assert (full.returncode, full.stderr) == (1, "")
    assert files(folder) == before
    assert full.stdout == gradsense("check", folder=folder, room=True).stdout


def test_a_fix_that_cannot_be_written_changes_nothing(folder: Path) -> None:
    before = files(folder)
    full = gradsense("check", "--fix", folder=folder, room=False)
    assert full.returncode == 2
    assert full.stderr == "gradsense: cleared_before_step.py can't be written, and is as it was: File too large\n"
    assert "error[GS401]" in full.stdout
    assert files(folder) == before
    assert gradsense("check", "--fix", folder=folder, room=True).returncode == 0


def test_a_baseline_that_cannot_be_written_stays_the_old_one(folder: Path) -> None:
    assert gradsense("check", "--write-baseline", "known.json", folder=folder, room=True).returncode == 0
    with (folder / "cleared_before_step.py").open("a") as program:
        program.write("loss.backward\n")
    before = files(folder)
    full = gradsense("check", "--write-baseline", "known.json", folder=folder, room=False)
    assert full.returncode == 2
    assert "known.json can't be written: File too large" in full.stderr
    assert files(folder) == before


def test_a_merged_log_that_cannot_be_written(folder: Path) -> None:
    log = gradsense("check", "--shard", "1/1", "--format", "sarif", folder=folder, room=True).stdout
    json.loads(log)
    (folder / "1.sarif").write_text(log)
    before = files(folder)
    full = gradsense("merge", "1.sarif", "--output", "all.sarif", folder=folder, room=False)
    assert full.returncode == 2
    assert full.stderr == "gradsense: all.sarif can't be written: File too large\n"
    assert files(folder) == before
