"""What came of the parts, as Markdown: one section each; sections of parts that did not run stay as they were."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from benchmarks.storm.part import Options, Result
from benchmarks.storm.parts import PARTS

_HEAD = """\
# Storm

Whether anything makes it fall over. `make storm` makes this page, with the repository's own programs;
`make storm FROM=folder` takes public repositories from there, as `<owner>+<name>/`. Each section says with which
options it was made; the inputs of a seed are always the same.
"""
_SECTION = re.compile(r"^## (\w+)\n", re.MULTILINE)
_MOST_FAILURES = 50


def section(name: str, result: Result, options: Options, seconds: float) -> str:
    """What one part gave."""
    return "\n".join(_section(name, result, options, seconds)) + "\n"


def _section(name: str, result: Result, options: Options, seconds: float) -> Iterator[str]:
    yield f"## {name}\n"
    corpus = "public repositories" if options.laid_out is not None else "the repository's own programs"
    share = f", share {options.shard[0]} of {options.shard[1]}" if options.shard != (1, 1) else ""
    yield f"{PARTS[name].capitalize()}. Seed {options.seed}{share}, {corpus}, {seconds / 60:.1f} minutes.\n"
    if result.counts:
        yield "| what | number |\n| --- | ---: |"
        yield from (f"| {what} | {number:,} |" for what, number in result.counts.items())
        yield ""
    yield from (f"- {what}: {figure}" for what, figure in result.figures.items())
    yield from (f"- **{what}: {figure}**" for what, figure in result.limits.items())
    yield from (f"- {what}: {value:.3g} at most (`{case}`)" for what, (value, case) in result.most.items())
    failures = result.failures
    yield f"- **{len(failures)} failures**" if failures else "- no failures"
    yield from (f"    - `{each.case}`: {each.what}" for each in failures[:_MOST_FAILURES])


def report(sections: Mapping[str, str], before: str = "") -> str:
    """The page: these sections, and of the page as it was those of other parts."""
    pieces = _SECTION.split(before)
    known = {name: f"## {name}\n{text.rstrip()}\n" for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}
    known |= sections
    return "\n".join([_HEAD, *(known[name] for name in PARTS if name in known)])
