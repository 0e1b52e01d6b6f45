"""What was measured, as Markdown: tables by rule, and the misses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.mutants.left_out import LEFT_OUT
from benchmarks.mutants.measure import Measured, Outcome, Result

from gradsense.rules.registry import rule_of

_HEAD = "| rule | injected | found at its line | found elsewhere | missed |\n| --- | ---: | ---: | ---: | ---: |"


def report(hosts: Sequence[Measured]) -> Iterator[str]:
    """The lines of the committed report."""
    results = sorted_results(hosts)
    fit = [each for each in hosts if not each.unfit]
    measured = [each for each in results if each.outcome is not Outcome.NO_RULE]
    certain = [each for each in measured if each.certain]
    yield "# Mutants\n"
    yield (
        "Each fault of the catalogue is put into healthy public training code, one fault into one file at a time, and "
        "GradSense looks at the result. `make mutants FROM=folder` makes this page; `hosts.toml` names the files, "
        "which lie in that folder as `<owner>+<name>/...`.\n"
    )
    found = sum(each.outcome is Outcome.FOUND for each in certain)
    elsewhere = sum(each.outcome is Outcome.ELSEWHERE for each in certain)
    kinds = len({(each.codes, each.mutator) for each in certain})
    yield (
        f"**Where the fault is certain, {found} of {len(certain)} are found at their line "
        f"({_share(found, len(certain))})**, {elsewhere} more at another. {kinds} ways of going wrong, "
        f"{len({each.codes[0] for each in certain})} rules, {len({each.host for each in certain})} files.\n"
    )
    yield "## Certain faults\n"
    yield from _table(certain)
    uncertain = [each for each in measured if not each.certain]
    if uncertain:
        yield "\n## Faults that depend on what the text doesn't tell\n"
        yield from _table(uncertain)
    waiting = Counter(each.codes[0] for each in results if each.outcome is Outcome.NO_RULE)
    if waiting:
        yield "\n## No such rule yet\n"
        yield ", ".join(f"{code} ({number} mutants)" for code, number in sorted(waiting.items())) + "."
    yield "\n## Not put into existing code\n"
    yield from (f"- {code}: {reason}" for code, reason in sorted(LEFT_OUT.items()))
    yield "\n## Hosts\n"
    yield f"{len(fit)} healthy files. Left out, because something is found in them as they are:\n"
    yield from (f"- {each.host.name}: {each.unfit}" for each in hosts if each.unfit)


def sorted_results(hosts: Iterable[Measured]) -> list[Result]:
    """All results, by rule."""
    return sorted((result for each in hosts for result in each.results), key=lambda it: (it.codes, it.mutator, it.host))


def misses(results: Iterable[Result]) -> Iterator[str]:
    """One line for each mutant that isn't found at its line."""
    for each in results:
        if each.outcome in (Outcome.MISSED, Outcome.ELSEWHERE):
            said = ", ".join(f"{code} at {line}" for code, line in each.said) or "nothing"
            sure = "" if each.certain else " (not certain)"
            yield f"{each.codes[0]} {each.host}:{_lines(each.lines)} {each.mutator}{sure}; said: {said}"


def _table(results: Sequence[Result]) -> Iterator[str]:
    yield _HEAD
    for code in sorted({each.codes[0] for each in results}):
        of_rule = [each for each in results if each.codes[0] == code]
        rule = rule_of(code)
        yield _row(f"{code} {rule.name if rule is not None else ''}".strip(), of_rule)
    yield _row("all", results)


def _row(name: str, results: Sequence[Result]) -> str:
    by = Counter(each.outcome for each in results)
    return (
        f"| {name} | {len(results)} | {by[Outcome.FOUND]} ({_share(by[Outcome.FOUND], len(results))}) "
        f"| {by[Outcome.ELSEWHERE]} | {by[Outcome.MISSED]} |"
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "none"


def _lines(lines: Sequence[int]) -> str:
    return ",".join(map(str, lines))
