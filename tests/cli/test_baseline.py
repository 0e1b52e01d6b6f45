"""`--write-baseline` and `--baseline`: old code keeps its findings to itself, new findings are told."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.workspace.folders import write_files


def test_what_is_known_is_not_told(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\nodd()\n", "b.py": "worse()\n"})
    written = run("check", "--write-baseline", "baseline.json")
    assert (written.code, written.out) == (0, "baseline.json knows 3 findings.\n")
    assert json.loads((folder / "baseline.json").read_text())["findings"][0] == {
        "path": "a.py",
        "rule": "gradients-cleared-before-step",
        "line": "bad()",
        "count": 1,
    }
    result = run("check", "--baseline", "baseline.json")
    assert (result.code, result.out, result.err) == (0, "Nothing found in 2 files.\n", "")


def test_it_is_known_by_its_text_not_its_line(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\n"})
    run("check", "--write-baseline", "baseline.json")
    write_files(folder, {"a.py": "import torch\n\nbad()\nworse()\n"})
    result = run("check", "--baseline", "baseline.json", "--format", "concise")
    assert result.code == 1
    assert result.out == ("a.py:4:1: warning[GS301] `worse()` trains half. Call `fine()`.\n")


def test_one_more_of_the_same_is_new(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\nbad()\n"})
    run("check", "--write-baseline", "baseline.json")
    write_files(folder, {"a.py": "bad()\nbad()\nbad()\n"})
    assert "Found 1 error in 1 file." in run("check", "--baseline", "baseline.json").out


def test_a_file_that_was_renamed_keeps_its_own(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\n"})
    run("check", "--write-baseline", "baseline.json")
    (folder / "a.py").rename(folder / "b.py")
    assert run("check", "--baseline", "baseline.json").code == 0
    write_files(folder, {"a.py": "bad()\n"})
    assert run("check", "--baseline", "baseline.json", "--format", "concise").out.startswith("b.py:1:1: ")


def test_what_is_gone_is_told(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\n", "b.py": "worse()\nworse()\n"})
    run("check", "--write-baseline", "baseline.json")
    write_files(folder, {"a.py": "fine\n", "b.py": "worse()\n"})
    result = run("check", "--baseline", "baseline.json")
    assert result.code == 0
    assert result.err == (
        "gradsense: 2 findings of the baseline can't be found any more. --write-baseline leaves them out.\n"
    )


def test_only_what_was_checked_is_written_anew(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\n", "b.py": "worse()\n", "c.py": "odd()\n"})
    run("check", "--write-baseline", "baseline.json")
    write_files(folder, {"a.py": "bad()\nbad()\n"})
    (folder / "c.py").unlink()
    assert run("check", "a.py", "--write-baseline", "baseline.json").out == "baseline.json knows 3 findings.\n"


def test_fixes_leave_the_known_alone(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()  # old\n"})
    run("check", "--write-baseline", "baseline.json")
    write_files(folder, {"a.py": "bad()  # old\nbad()  # new\n"})
    assert run("check", "--baseline", "baseline.json", "--fix").code == 0
    assert (folder / "a.py").read_text() == "bad()  # old\ngood()  # new\n"


def test_a_baseline_in_a_folder_of_its_own(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\n", "ci/readme": ""})
    run("check", "--write-baseline", "ci/baseline.json")
    assert json.loads((folder / "ci/baseline.json").read_text())["findings"][0]["path"] == "../a.py"
    assert run("check", "--baseline", "ci/baseline.json").code == 0


def test_bad_baselines_are_told(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "bad()\n", "list.json": "[]", "text.json": "hello", "later.json": '{"version": 2}'})
    for name, words in (
        ("missing.json", "can't be read: no such file"),
        ("list.json", "is no baseline"),
        ("text.json", "is no baseline"),
        ("later.json", "of another version"),
    ):
        result = run("check", "--baseline", name)
        assert (result.code, result.out) == (2, "")
        assert words in result.err
    both = run("check", "--baseline", "a.json", "--write-baseline", "b.json")
    assert both.code == 2
    assert "give one of them" in both.err
