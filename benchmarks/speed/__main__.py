"""Prints a Markdown report.

Analysis is measured in CPU time (the machine may be busy with other things), start and latency in wall-clock time.
Both sides of a comparison take turns, and medians are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.speed import client, cold, edits, packages, rules
from benchmarks.speed.program import training_file
from benchmarks.speed.timing import milliseconds, percentile

from gradsense.collector import relax_collector
from gradsense.rules.registry import all_rules

_ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("cold", "edits", "packages", "rules", "start", "latency")


def _print_cold(folder: Path | None) -> None:
    print("\n## Cold analysis of a file against `libcst.parse_module` of the same text (CPU time, medians)\n")
    texts = {path.name: path.read_text() for path in sorted((_ROOT / "examples").glob("*.py"))[:10]}
    texts["synthetic, 300"] = training_file(300)
    texts["synthetic, 2,000"] = training_file(2000)
    cold.print_files(texts)
    if folder is not None:
        print("\nPublic training files:\n")
        cold.print_files(cold.named_files(folder))
        print()
        cold.print_tree("All of Lightning's sources", folder / "Lightning-AI+pytorch-lightning" / "src")


async def _print_start() -> None:
    print("\n## Start (wall-clock, medians, in turns)\n")
    with tempfile.TemporaryDirectory() as folder:
        bare = _bare(folder)
        theirs, ours = await client.initialize_times(bare)
        print(
            f"Answer to `initialize`: bare pygls server {milliseconds(theirs)}, GradSense {milliseconds(ours)}, ratio "
            f"{ours / theirs:.2f}.\n"
        )
        theirs, ours = await client.first_diagnostics_times(training_file(300) + client.MISTAKE)
        print(
            f"First diagnostics of a file of 300 lines: imports of pygls, libcst and its matchers "
            f"{milliseconds(theirs)}, GradSense {milliseconds(ours)}, ratio {ours / theirs:.2f}."
        )


async def _print_latency() -> None:
    print("\n## Edit sent to diagnostics received, through a real client, 2,000 lines (wall-clock)\n")
    print("| server | p50 | p95 |\n| --- | ---: | ---: |")
    text = training_file(2000) + client.MISTAKE
    with tempfile.TemporaryDirectory() as folder:
        for name, command in (("bare pygls server", _bare(folder)), ("GradSense", client.SERVER)):
            times = await client.publish_times(command, text)
            p95 = percentile(times, 0.95)
            print(f"| {name} | {milliseconds(statistics.median(times))} | {milliseconds(p95)} |")


def _bare(folder: str) -> list[str]:
    script = Path(folder) / "bare.py"
    script.write_text(client.BARE_SERVER)
    return [sys.executable, "-I", str(script)]


def main() -> None:
    """Print the report, or the parts of it that are named."""
    parser = argparse.ArgumentParser(prog="benchmarks.speed", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*_PARTS, []], help="all, if none is named")
    parser.add_argument("--from", dest="folder", type=Path, help="a folder with public repositories as owner+name")
    arguments = parser.parse_args()
    parts = arguments.parts or _PARTS
    all_rules()
    # As the server and the command line do; both sides of each comparison profit.
    relax_collector()
    print("# Benchmarks\n")
    processor = platform.processor() or platform.machine()
    libcst_version = importlib.metadata.version("libcst")
    print(f"Python {platform.python_version()}, {processor}, libcst {libcst_version}, all rules on.")
    if "cold" in parts:
        _print_cold(arguments.folder)
    if "edits" in parts:
        print("\n## Analysis after an edit inside one function against a parse of the whole file (CPU time)\n")
        edits.print_edits()
    if "packages" in parts and arguments.folder is not None:
        print("\n## A file of a package: opened, and after an edit inside one function (CPU time)\n")
        packages.print_packages(arguments.folder)
    if "rules" in parts:
        print("\n## What each rule costs, 2,000 lines (CPU time, medians)\n")
        print(f"**!** marks a rule that takes more than {rules.LARGE:.0%} of the whole.\n")
        rules.print_parts(training_file(2000))
    if "start" in parts:
        asyncio.run(_print_start())
    if "latency" in parts:
        asyncio.run(_print_latency())
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=_ROOT, capture_output=True, text=True)
    if revision.returncode == 0:
        print(f"\nRevision {revision.stdout.strip()}.")


if __name__ == "__main__":
    main()
