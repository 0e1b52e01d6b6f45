"""`python -m benchmarks.repository --from FOLDER`: see `make bench-repository`. Writes the report as Markdown."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.repository.measure import Cost, Scan, cost_of, in_turns, scanned

from gradsense.batch.engines import cores

REPORT = Path(__file__).with_name("REPORT.md")
CORES = ("vwxyzjn+cleanrl", "pytorch+examples", "eriklindernoren+PyTorch-GAN")
"""Repositories that are checked often, with one process and with all."""
COMPARED = ("pytorch+examples", "vwxyzjn+cleanrl", "karpathy+nanoGPT", "eriklindernoren+PyTorch-GAN")
"""Repositories that TorchFix is given, too."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="source", type=Path, required=True, help="checkouts, as <owner>+<name>")
    parser.add_argument("--turns", type=int, default=3, help="runs of each kind, of which the medians are told")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the repositories that are run often, these only")
    parser.add_argument("--torchfix", help="TorchFix's command, from an environment of its own")
    parser.add_argument("--whole", action="store_true", help="check all repositories twice, too: that takes a while")
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args()
    every = sorted(path for path in options.source.iterdir() if "+" in path.name and path.is_dir())
    some, compared = (
        [path for path in every if path.name in names and (not options.only or path.name in options.only)]
        for names in (CORES, COMPARED)
    )
    with tempfile.TemporaryDirectory() as temporary:
        parts = [
            _scan_words(scanned(every), len(every)),
            _core_words(some, options.source, options.turns),
            _cache_words(some, options.source, Path(temporary) / "some", options.turns),
        ]
        if options.whole:
            parts.append(_cache_words(every, options.source, Path(temporary) / "every", 1))
        if options.torchfix:
            parts.append(_torchfix_words(compared, options.torchfix, options.turns))
    load = os.getloadavg()[2] if hasattr(os, "getloadavg") else 0.0
    head = (
        "# Whole repositories\n\n"
        f"`make bench-repository`, Python {platform.python_version()}, {cores()} cores. Runs that are compared were "
        "made in turns; medians are told. CPU time is that of the command and all of its processes. On a busy machine "
        f"it is the figure to look at: the load was {load:.0f} at the end, so that wall-clock times here say little."
    )
    options.report.write_text("\n\n".join([head, *parts]) + "\n", encoding="utf-8")
    print(options.report.read_text(encoding="utf-8"))


def _check(folders: Sequence[Path], source: Path, *more: str) -> Cost:
    names = [folder.name for folder in folders]
    return cost_of([sys.executable, "-m", "gradsense", "check", "--exit-zero", "--verbose", *more, *names], source)


def _scan_words(scan: Scan, repositories: int) -> str:
    speed = scan.characters / 1e6 / scan.scanning
    return (
        "## The scan of words and imports\n\n"
        f"{repositories} repositories, {scan.files:,} files, {scan.lines:,} lines: {scan.scanning:.2f} s of CPU time, "
        f"{speed:,.0f} million characters a second; to read and decode the same files took {scan.reading:.2f} s. "
        f"{scan.passed_by:,} files with {scan.lines_passed_by:,} lines were passed by; most of these repositories are "
        "about training."
    )


def _core_words(folders: Sequence[Path], source: Path, turns: int) -> str:
    lines = scanned(folders).lines
    count = cores()
    costs = in_turns(
        {
            "one": lambda: _check(folders, source, "--no-cache", "--jobs", "1"),
            "all": lambda: _check(folders, source, "--no-cache", "--jobs", str(count)),
        },
        turns,
    )
    one, all_ = costs["one"], costs["all"]
    return (
        f"## One process and {count}\n\n"
        f"{_named(folders)}, {lines:,} lines, without the cache.\n\n"
        "| | wall clock | CPU time | lines a second of CPU time |\n| --- | ---: | ---: | ---: |\n"
        f"| one process | {one.wall:.1f} s | {one.cpu:.1f} s | {lines / one.cpu:,.0f} |\n"
        f"| {count} processes | {all_.wall:.1f} s | {all_.cpu:.1f} s | {lines / all_.cpu:,.0f} |\n\n"
        f"Efficiency by the wall clock: {one.wall / all_.wall / count:.0%}. By CPU time, which is what is left of it "
        f"where the cores are free and the work is spread evenly: {one.cpu / all_.cpu:.0%}."
    )


def _cache_words(folders: Sequence[Path], source: Path, cache: Path, turns: int) -> str:
    def first() -> Cost:
        shutil.rmtree(cache, ignore_errors=True)
        return _check(folders, source, "--cache-dir", str(cache))

    costs = in_turns({"first": first, "second": lambda: _check(folders, source, "--cache-dir", str(cache))}, turns)
    size = sum(path.stat().st_size for path in (cache / "outcomes").rglob("*.json"))
    lines = scanned(folders).lines
    one, two = costs["first"], costs["second"]
    which = _named(folders) if len(folders) < 9 else f"all {len(folders)} repositories"
    return (
        f"## The cache: {which}, {lines:,} lines\n\n"
        "| | wall clock | CPU time |\n| --- | ---: | ---: |\n"
        f"| first run | {one.wall:.1f} s | {one.cpu:.1f} s |\n| second run | {two.wall:.1f} s | {two.cpu:.1f} s |\n\n"
        f"The second run takes {two.cpu / one.cpu:.1%} of the first one's CPU time, {two.wall / one.wall:.1%} by the "
        f"wall clock. The results take {size / 1e3:,.0f} kB."
    )


def _torchfix_words(folders: Sequence[Path], torchfix: str, turns: int) -> str:
    rows = []
    version = subprocess.run([torchfix, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    for folder in folders:
        costs = in_turns(
            {
                "ours": lambda folder=folder: _check([folder], folder.parent, "--no-cache", "--jobs", "1"),  # type: ignore[misc]
                "theirs": lambda folder=folder: cost_of([torchfix, "--select=ALL", "."], folder),  # type: ignore[misc]
            },
            turns,
        )
        ours, theirs = costs["ours"].cpu, costs["theirs"].cpu
        rows.append(
            f"| {folder.name.replace('+', '/')} | {scanned([folder]).lines:,} | {ours:.1f} s | {theirs:.1f} s "
            f"| {theirs / ours:.2f} |"
        )
    return (
        f"## Beside TorchFix {version}\n\n"
        "CPU time, all rules of TorchFix, GradSense with its default ones in one process without the cache.\n\n"
        "| | lines | GradSense | TorchFix | ratio |\n| --- | ---: | ---: | ---: | ---: |\n" + "\n".join(rows)
    )


def _named(folders: Sequence[Path]) -> str:
    return ", ".join(folder.name.replace("+", "/") for folder in folders)


if __name__ == "__main__":
    main()
