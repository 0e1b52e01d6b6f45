"""The command: `python -m benchmarks.mutants --from folder`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.mutants.hosts import listed_hosts
from benchmarks.mutants.measure import Outcome, Result, key_of, run
from benchmarks.mutants.mutators import all_mutators
from benchmarks.mutants.report import misses, report, sorted_results


def _keep(results: list[Result], folder: Path) -> None:
    """One file for each mutant that one may want to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(results):
        if each.outcome in (Outcome.MISSED, Outcome.ELSEWHERE):
            name = f"{each.codes[0]}_{number}_{each.host.replace('/', '+')}"
            (folder / name).write_text(each.text, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("--from", dest="laid_out", type=Path, required=True, help="folder with <owner>+<name>/...")
    parser.add_argument("--python", help="interpreter of an environment with the libraries that the hosts import")
    parser.add_argument("--each", type=int, default=8, help="hosts for each mutator, at most")
    parser.add_argument("--rules", default="", help="only mutators of codes that begin so, comma-separated")
    parser.add_argument("--hosts", default="", help="only hosts whose name contains this")
    parser.add_argument("--misses", action="store_true", help="list what isn't found at its line")
    parser.add_argument("--report", type=Path, help="write the report here instead of printing it")
    parser.add_argument("--keep", type=Path, help="write the mutants that aren't found at their line into this folder")
    options = parser.parse_args()
    begins = tuple(options.rules.split(","))
    mutators = [key_of(each) for each in all_mutators() if each.code.startswith(begins)]
    hosts = [each for each in listed_hosts() if options.hosts in each.name]
    measured = run(hosts, options.laid_out, mutators, options.each, options.python)
    if all(each.unfit == "not laid out" for each in measured):
        sys.exit(f"none of the hosts lies in {options.laid_out}: see benchmarks/mutants/hosts.toml")
    if options.misses:
        print("\n".join(misses(sorted_results(measured))))
    if options.keep is not None:
        _keep(sorted_results(measured), options.keep)
    text = "\n".join(report(measured)) + "\n"
    if options.report is not None:
        options.report.write_text(text, "utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
