"""Writes the pages that the code tells: docs/rules/*.md, docs/rules.md and docs/configuration.md.

With --check: fails if they aren't current.

What running an example printed is kept on the page with the program's fingerprint, and the program is run
again only when it changes (or with --run-again): last digits differ from machine to machine.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tools.configuration_page import configuration_page

from gradsense.cli.explain import full_page, illustration
from gradsense.rules.base import Rule
from gradsense.rules.pages import (
    fingerprint,
    first_bad,
    index_of,
    instead_of,
    recorded_outputs,
)
from gradsense.rules.registry import all_rules

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LONGEST_OUTPUT = 8
"""Lines; of a longer output the last ones, where the symptom shows."""

_NOISE = re.compile(
    r"[┏┡┃│└━]|it/s|params\b|Modules in (train|eval) mode|Total FLOPs|PU (available|used)|HPU|"
    r"fast_dev_run|`Trainer\.fit` stopped|Tip:|litlogger|logger"
)
"""Lines that Lightning prints in every run."""

Run = Callable[[str], str]


def pages(docs: Path, run: Run | None, *, again: bool = False) -> dict[Path, str]:
    """Every page by its path.

    `run` runs a program whose output is not on the page yet; without it, such a page goes without the output,
    and so differs from what `run` would have made.
    """
    rules = list(all_rules())
    if run is not None:
        # What one rule gets wrong may be what another puts right.
        run = functools.cache(run)
    made = {docs / "rules" / f"{rule.name}.md": _page(rule, docs, run, again=again) for rule in rules}
    configuration = {docs / "configuration.md": configuration_page(ROOT)}
    return {docs / "rules.md": index_of(rules), **configuration, **made}


def _page(rule: type[Rule], docs: Path, run: Run | None, *, again: bool) -> str:
    path = docs / "rules" / f"{rule.name}.md"
    recorded = recorded_outputs(path.read_text("utf-8")) if path.exists() and not again else {}
    outputs: dict[str, str] = {}
    for program in _programs(rule):
        output = recorded.get(fingerprint(program))
        if output is None and run is not None:
            output = run(program)
        if output is not None:
            outputs[program] = output
    return full_page(rule, outputs)


def _programs(rule: type[Rule]) -> Iterable[str]:
    """The programs on a rule's page that can be run here."""
    bad = first_bad(rule)
    if bad is None or bad.unproven or bad.lightning_version:
        return
    yield bad.program
    instead = illustration(rule)[1] or instead_of(rule)
    if instead is not None:
        yield instead


def run_program(program: str) -> str:
    """What a program prints, and what it did, as its page shows it."""
    sys.path.insert(0, str(ROOT))  # the prover belongs to the tests
    from tests.prover.client import run_program as run
    from tests.prover.judge import describe

    result = run(program)
    lines = [line.rstrip() for line in result.output.splitlines() if line.strip() and not _NOISE.search(line)]
    shown = ["...", *lines[-LONGEST_OUTPUT:]] if len(lines) > LONGEST_OUTPUT else lines
    if result.error is None:
        shown = [*shown, describe(result)]
    return "\n".join(shown)


def main() -> int:
    """Write or check the pages; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page isn't current")
    parser.add_argument("--run-again", action="store_true", help="run every example again")
    options = parser.parse_args()
    made = pages(DOCS, None if options.check else run_program, again=options.run_again)
    stale = stale_pages(DOCS, made)
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)} {'is not current' if options.check else 'written'}\n")
        if options.check:
            continue
        if path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], "utf-8")
        else:
            path.unlink()
    if options.check and stale:
        sys.stdout.write("Run `make docs`, look at what it changes, and commit it.\n")
    return 1 if options.check and stale else 0


def stale_pages(docs: Path, made: dict[Path, str]) -> list[Path]:
    """The pages that differ from what is made now, and those of rules that are gone."""
    there = {*(docs / "rules").glob("*.md"), docs / "rules.md", docs / "configuration.md"}
    return sorted(
        path
        for path in {*there, *made}
        if path not in made or not path.exists() or path.read_text("utf-8") != made[path]
    )


if __name__ == "__main__":
    sys.exit(main())
