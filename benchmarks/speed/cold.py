"""Cold analysis of files against `libcst.parse_module` of the same texts."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import libcst
import tomllib
from benchmarks.speed.timing import cpu, milliseconds, with_comments

from gradsense.config import Settings
from gradsense.engine import analyse
from gradsense.snapshot import Snapshot

_FILES = Path(__file__).parent / "files.toml"
_ROUNDS = 7


def public_files(folder: Path, which: str) -> Iterator[tuple[str, Path, Path]]:
    """A list of `files.toml`: name, its repository's folder and path of each. `folder` has repositories as owner+name.

    Raises FileNotFoundError, with what to do, where a file isn't there.
    """
    for entry in tomllib.loads(_FILES.read_text())[which]:
        root = folder / entry["repository"].replace("/", "+")
        path = root / entry["path"]
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: clone {entry['repository']} there as {root.name}.")
        yield f"{entry['repository']}/{entry['path']}", root, path


def named_files(folder: Path) -> dict[str, str]:
    """The public training files of `files.toml` by name, and their texts."""
    return {name: path.read_text() for name, _, path in public_files(folder, "files")}


def cold(name: str, text: str, rounds: int = _ROUNDS) -> tuple[float, float]:
    """Medians of a parse and of a cold analysis, in turns; comments make each round's text a new one."""
    parses, analyses = [], []
    for number in range(rounds):
        fresh = with_comments(text, str(number))
        parses.append(cpu(lambda fresh=fresh: libcst.parse_module(fresh)))  # type: ignore[misc]
        analyses.append(cpu(lambda fresh=fresh: analyse(Snapshot(name, fresh, Settings()))))  # type: ignore[misc]
    return statistics.median(parses), statistics.median(analyses)


def print_files(texts: dict[str, str]) -> None:
    """A table of files, and the median of their ratios."""
    print("| file | lines | parse | analysis | ratio |\n| --- | ---: | ---: | ---: | ---: |")
    ratios = []
    for name, text in texts.items():
        parse, analysis = cold(name, text)
        ratios.append(analysis / parse)
        print(
            f"| {name} | {text.count(chr(10))} | {milliseconds(parse)} | {milliseconds(analysis)} "
            f"| {analysis / parse:.2f} |"
        )
    print(f"\nMedian ratio {statistics.median(ratios):.2f}, largest {max(ratios):.2f}.")


def print_tree(title: str, folder: Path) -> None:
    """All files below a folder, one after the other: the sums of their parses and of their analyses."""
    parse = analysis = 0.0
    lines = files = 0
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text()
        try:
            parse += cpu(lambda text=text: libcst.parse_module(text))  # type: ignore[misc]
        except libcst.ParserSyntaxError:
            continue
        analysis += cpu(lambda path=path, text=text: analyse(Snapshot(str(path), text, Settings())))  # type: ignore[misc]
        lines += text.count("\n")
        files += 1
    print(
        f"{title}: {files} files, {lines:,} lines, parse {parse:.1f} s, analysis {analysis:.1f} s, ratio "
        f"{analysis / parse:.2f}."
    )
