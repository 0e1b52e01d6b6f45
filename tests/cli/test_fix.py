"""`--fix` and `--diff`: what is changed, and that nothing else is."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.workspace.folders import write_files


def test_fix_applies_safe_fixes_only(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\nworse()\nbad()\n"})
    result = run("check", "--fix")
    assert (folder / "a.py").read_text() == "good()\nworse()\ngood()\n"
    assert result.code == 1
    assert result.out.splitlines()[-1].startswith("Fixed 2. Found 1 warning in 1 file.")
    assert run("check", "--fix", "--unsafe-fixes").code == 0
    assert (folder / "a.py").read_text() == "good()\nfine()\ngood()\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (codecs.BOM_UTF8 + b"x = 1\r\nbad()\r\n\r\n", codecs.BOM_UTF8 + b"x = 1\r\ngood()\r\n\r\n"),
        (b"# coding: latin-1\n'\xe9'; bad()", b"# coding: latin-1\n'\xe9'; good()"),
        (b"x = 1\rbad()\r\n\x0c\n  \n", b"x = 1\rgood()\r\n\x0c\n  \n"),
        ("'😀'; bad()\n".encode(), "'😀'; good()\n".encode()),
    ],
)
def test_all_other_bytes_stay(run: Run, folder: Path, before: bytes, after: bytes) -> None:
    write_files(folder, {"a.py": before})
    assert run("check", "--fix").code == 0
    assert (folder / "a.py").read_bytes() == after


def test_an_unchanged_file_is_not_written(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "worse()\n"})
    before = (folder / "a.py").stat()
    run("check", "--fix")
    after = (folder / "a.py").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_diff_shows_and_changes_nothing(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "x = 1\nbad()", "b.py": "worse()\n"})
    result = run("check", "--diff")
    assert result.out.splitlines() == [
        "--- a/a.py",
        "+++ b/a.py",
        "@@ -1,2 +1,2 @@",
        " x = 1",
        "-bad()",
        "\\ No newline at end of file",
        "+good()",
        "\\ No newline at end of file",
    ]
    assert result.code == 1
    assert (folder / "a.py").read_text() == "x = 1\nbad()"
    assert run("check", "--diff", "b.py").code == 0
    assert "+fine()" in run("check", "--diff", "--unsafe-fixes", "b.py").out


def test_fixed_standard_input_goes_to_standard_output(run: Run, folder: Path) -> None:
    result = run("check", "-", "--fix", stdin=b"bad()\r\nworse()")
    assert result.out == "good()\r\nworse()"
    assert "Fixed 1." in result.err
    assert run("check", "-", "--fix", stdin=b"fine()").out == "fine()"


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_failed_write_is_told_and_loses_nothing(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(folder, {"a.py": "bad()\n"})

    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    result = run("check", "--fix")
    assert result.code == 2
    assert "a.py can't be written, and is as it was: disk full" in result.err
    assert (folder / "a.py").read_text() == "bad()\n"
    assert stat.S_ISREG((folder / "a.py").stat().st_mode)
