"""Runs the corpus: lays the repositories out, checks them, compares with the judgements, prints a report.

Exit codes: 0 every target is reached and everything is judged, 1 not so, 2 there is nothing to check.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.corpus.judgements import Judgement, match, read_judgements, write_judgements, write_open
from benchmarks.corpus.report import Report
from benchmarks.corpus.repositories import NotThere, Repository, lay_out, read_repositories
from benchmarks.corpus.scan import scan

from gradsense.rules.registry import all_rules

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parents[1] / ".corpus"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit code."""
    options = _parser().parse_args(arguments)
    everything = read_repositories(options.repositories)
    commits = {repository.name: repository.commit for repository in everything}
    judgements = read_judgements(options.judgements)
    if options.adopt is not None:
        return _adopt(options.judgements, judgements, read_judgements(options.adopt), commits)
    wanted = [each for each in everything if not options.only or any(part in each.name for part in options.only)]
    folders, missing = _laid_out(wanted, options.folder)
    if not folders:
        print("No repository is there to be checked.", file=sys.stderr)
        return 2
    checked = list(scan(folders, options.processes))
    there = {name for name, _ in folders}
    matched = match(
        (found for each in checked for found in each.found),
        (judgement for judgement in judgements if judgement.repository in there),
    )
    report = Report(checked, matched, frozenset(rule.code for rule in all_rules() if not rule.on_by_default))
    print("\n".join(report.text()))
    options.new.parent.mkdir(exist_ok=True)
    write_open(options.new, report.new, commits)
    missed = [*report.missed(), *missing]
    print("", *(f"Missed: {reason}." for reason in missed), sep="\n")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("make corpus", description=__doc__)
    parser.add_argument("only", nargs="*", help="parts of names: check these repositories alone")
    parser.add_argument("--from", dest="folder", type=Path, help="the folder that has the repositories, as owner+name")
    parser.add_argument("--adopt", type=Path, help="take over the judgements that were filled in in this file")
    parser.add_argument("--new", type=Path, default=CORPUS / "new.toml", help="where to write what is not judged")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repositories", type=Path, default=HERE / "repositories.toml")
    parser.add_argument("--judgements", type=Path, default=HERE / "judgements.toml")
    return parser


def _laid_out(wanted: Sequence[Repository], given: Path | None) -> tuple[list[tuple[str, Path]], list[str]]:
    """The repositories that are there, with their folders, and what is wrong with the others."""
    folders: list[tuple[str, Path]] = []
    missing: list[str] = []
    for repository in wanted:
        folder = _folder(repository, given)
        if isinstance(folder, Path):
            folders.append((repository.name, folder))
        else:
            missing.append(f"{repository.name} is not there: {folder}")
    return folders, missing


def _folder(repository: Repository, given: Path | None) -> Path | NotThere:
    try:
        return lay_out(repository, CORPUS, given)
    except NotThere as error:
        return error


def _adopt(path: Path, held: list[Judgement], filled: list[Judgement], commits: dict[str, str]) -> int:
    """Add judgements to those held; a later one of the same place takes the earlier one's."""
    merged = {(each.repository, each.place, each.rule, each.content): each for each in (*held, *filled)}
    write_judgements(path, merged.values(), commits)
    print(f"{len(filled)} judgements taken over, {len(merged)} in all.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
