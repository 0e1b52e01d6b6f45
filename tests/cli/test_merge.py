"""Shards, and how their logs become the log of a whole check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradsense.batch.shards import part_of
from tests.cli.conftest import Run
from tests.cli.test_sarif import validated
from tests.workspace.folders import write_files

FILES = {f"{folder}{name}.py": "bad()\nworse()\n" for folder in ("", "b/", "a/c/") for name in ("x", "y", "z", "w")}


@pytest.fixture
def shards(run: Run, folder: Path) -> list[str]:
    """The logs of three shards, in no order."""
    write_files(folder, {**FILES, "fine.py": "good()\n"})
    names = []
    for part in (2, 3, 1):
        name = f"{part}.sarif"
        result = run("check", "--format", "sarif", "--shard", f"{part}/3")
        assert result.code == 1
        (folder / name).write_text(result.out)
        names.append(name)
    return names


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_each_file_is_in_one_part(parts: int) -> None:
    counts = [0] * parts
    for number in range(2000):
        counts[part_of(f"folder/file{number}.py", parts) - 1] += 1
    assert sum(counts) == 2000
    assert min(counts) > 2000 / parts * 0.8
    assert part_of("train.py", 7) == 1  # on any machine


def test_merged_they_are_the_log_of_a_whole_check(run: Run, folder: Path, shards: list[str]) -> None:
    whole = run("check", "--format", "sarif")
    assert len(json.loads(whole.out)["runs"][0]["results"]) == 2 * len(FILES)
    merged = run("merge", *shards, "-o", "all.sarif")
    assert (merged.code, merged.out) == (1, "")
    assert (folder / "all.sarif").read_text() == whole.out
    assert run("merge", *shards).out == whole.out
    validated(whole.out)
    for name in shards:
        validated((folder / name).read_text())


def test_so_they_are_in_the_order_of_the_paths_given(run: Run, folder: Path, shards: list[str]) -> None:
    order = ("a", "x.py", ".")
    for part in (1, 2, 3):
        log = run("check", *order, "--format", "sarif", "--shard", f"{part}/3").out
        (folder / f"{part}.sarif").write_text(log)
    assert run("merge", *shards).out == run("check", *order, "--format", "sarif").out


def test_what_a_shard_could_not_check_is_not_forgotten(run: Run, folder: Path) -> None:
    write_files(folder, {"broken.py": b"\xff"})
    for part in (1, 2):
        (folder / f"{part}.sarif").write_text(run("check", "--format", "sarif", "--shard", f"{part}/2").out)
    result = run("merge", "1.sarif", "2.sarif", "-o", "all.sarif")
    assert result.code == 2
    assert "not everything could be checked" in result.err
    assert json.loads((folder / "all.sarif").read_text())["runs"][0]["results"] == []


def test_exit_codes(run: Run, folder: Path) -> None:
    write_files(folder, {"a.py": "good()\n"})
    (folder / "clean.sarif").write_text(run("check", "--format", "sarif").out)
    write_files(folder, {"a.py": "bad()\n"})
    (folder / "dirty.sarif").write_text(run("check", "--format", "sarif").out)
    assert run("merge", "clean.sarif").code == 0
    assert run("merge", "clean.sarif", "dirty.sarif").code == 1
    assert run("merge", "clean.sarif", "dirty.sarif", "--exit-zero").code == 0


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.sarif", "2.sarif"], "shard 3 is missing"),
        (["1.sarif", "2.sarif", "3.sarif", "1.sarif"], "both shard 1"),
        (["1.sarif", "2.sarif", "3.sarif", "whole.sarif"], "not the shards of one check"),
        (["1.sarif", "absent.sarif"], "absent.sarif can't be read"),
        (["fine.py"], "fine.py is no log to merge"),
        (["list.json"], "list.json is no log to merge"),
        (["other.sarif"], "other.sarif is no log to merge"),
        (["whole.sarif", "old.sarif"], "different versions"),
    ],
)
def test_what_cannot_be_merged_is_told(
    run: Run, folder: Path, shards: list[str], names: list[str], message: str
) -> None:
    whole = run("check", "--format", "sarif").out
    other = whole.replace('"GradSense"', '"OtherSense"')
    files = {"whole.sarif": whole, "list.json": "[]", "other.sarif": other}
    files["old.sarif"] = whole.replace('"semanticVersion": "', '"semanticVersion": "0.0.')
    write_files(folder, files)
    result = run("merge", *names)
    assert result.code == 2
    assert message in result.err


def test_a_shard_has_to_be_one(run: Run, folder: Path) -> None:
    for wrong in ("0/2", "3/2", "1", "a/b", "1/0"):
        result = run("check", "--shard", wrong)
        assert result.code == 2
        assert "is not I/N" in result.err
    result = run("check", "-", "--shard", "1/2", stdin=b"")
    assert result.code == 2
    assert "--shard checks a part of files and folders" in result.err
