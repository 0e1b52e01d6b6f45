"""How many of the recall set's mistakes other linters see: `python -m benchmarks.compare --torchfix PATH`.

A linter sees a mistake if it says something at the line of it that it doesn't say as often of the corrected twin,
whatever it says and with all of its rules on. GradSense is measured in the same way, with the rules that are on by
default.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.recall.cases import HERE, Case, all_cases

PROGRAMS = HERE / "programs"
REPORT = Path(__file__).with_name("REPORT.md")
_FINDING = re.compile(r"(?P<path>[^:\n]+\.py):(?P<line>\d+):\d+:? (?P<code>[A-Za-z]+\d+|[a-z-]+)")


class Said(NamedTuple):
    """One finding of some linter."""

    line: int
    code: str


def said_by(command: Sequence[str]) -> Mapping[Path, list[Said]]:
    """What a linter that prints `path:line:column code` says of each program. Raises RuntimeError if nothing."""
    ended = subprocess.run([*command, "."], cwd=PROGRAMS, capture_output=True, text=True, check=False)
    found: defaultdict[Path, list[Said]] = defaultdict(list)
    for match in _FINDING.finditer(ended.stdout):
        found[PROGRAMS / match["path"]].append(Said(int(match["line"]), match["code"]))
    if not found:
        raise RuntimeError(f"{command[0]} says nothing: {ended.stderr}")
    return found


def said_by_gradsense() -> Mapping[Path, list[Said]]:
    found: defaultdict[Path, list[Said]] = defaultdict(list)
    for case in all_cases():
        for twin in ("buggy", "fixed"):
            root = case.folder if len(case.files(twin)) == 1 else case.folder / twin
            for told in case.told(twin):
                found[root / told.file].append(Said(told.line, told.finding.code))
    return found


def is_seen(case: Case, said: Mapping[Path, list[Said]]) -> bool:
    """Whether something is said at the mistake's line that is said more often here than of the corrected twin."""
    count = {
        twin: Counter(each.code for file in case.files(twin) for each in said.get(file, ()))
        for twin in ("buggy", "fixed")
    }
    more = count["buggy"] - count["fixed"]
    return any(
        each.code in more and (_name(file, case), each.line) in case.lines
        for file in case.files("buggy")
        for each in said.get(file, ())
    )


def _name(file: Path, case: Case) -> str:
    return file.name if file.parent == case.folder else file.relative_to(case.folder / "buggy").as_posix()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torchfix", required=True, help="TorchFix's command, from an environment of its own")
    options = parser.parse_args()
    ruff = [sys.executable, "-m", "ruff"]
    linters = {
        "GradSense": said_by_gradsense(),
        _version(options.torchfix, "TorchFix"): said_by([options.torchfix, "--select=ALL"]),
        _version(*ruff): said_by(
            [*ruff, "check", "--isolated", "--select", "ALL", "--no-cache", "--quiet", "--output-format", "concise"]
        ),
    }
    cases = all_cases()
    lines = [
        "# What other linters see of it",
        "",
        f"{len(cases)} mistakes that people have reported in public (`tests/recall`), each with its corrected twin. "
        "A linter sees a mistake if it says something at its line that it says less often of the twin, with all of its "
        "rules on. `make compare` makes this page.",
        "",
        "| | sees | findings in the corrected twins |",
        "| --- | ---: | ---: |",
    ]
    for name, said in linters.items():
        seen = sum(is_seen(case, said) for case in cases)
        noise = sum(len(said.get(file, ())) for case in cases for file in case.files("fixed"))
        lines.append(f"| {name} | {seen} ({seen / len(cases):.0%}) | {noise} |")
    REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(REPORT.read_text(encoding="utf-8"))


def _version(*command: str) -> str:
    """A linter's name with its version."""
    if command[-1] == "TorchFix":
        ended = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=True)
        return f"TorchFix {ended.stdout.split()[-1]}"
    return subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
