"""From matched findings to figures, targets and what is still to be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.corpus.judgements import Judgement, Matched
from benchmarks.corpus.scan import Checked, Found

_ERRORS, _WARNINGS = 0.98, 0.90
_LINES_PER_FALSE = 20_000
_SLOW = 1.0


@dataclass
class Tally:
    """How many findings are true, false, and not judged."""

    true: int = 0
    false: int = 0
    open: int = 0

    def count(self, judgement: Judgement | None) -> None:
        """Add one finding."""
        if judgement is None:
            self.open += 1
        elif judgement.verdict:
            self.true += 1
        else:
            self.false += 1

    @property
    def precision(self) -> float:
        """The part of the judged ones that is true; 1 if there are none."""
        judged = self.true + self.false
        return self.true / judged if judged else 1.0


class Report:
    """What one run of the corpus has to say."""

    def __init__(self, checked: Iterable[Checked], matched: Matched, off_by_default: frozenset[str]) -> None:
        self.checked = list(checked)
        self.matched = matched
        self.off = off_by_default
        self.counted = [pair for pair in matched.found if pair[0].rule not in off_by_default]
        self.apart = [pair for pair in matched.found if pair[0].rule in off_by_default]

    @property
    def new(self) -> list[Found]:
        """What has no judgement yet."""
        return [found for found, judgement in self.matched.found if judgement is None]

    @property
    def lines(self) -> int:
        """Lines of training code, without empty ones."""
        return sum(each.lines for each in self.checked)

    def tally(self, severity: str | None = None) -> Tally:
        """The findings of a severity, or of all, of rules that are on by default."""
        tally = Tally()
        for found, judgement in self.counted:
            if severity in (None, found.severity):
                tally.count(judgement)
        return tally

    def missed(self) -> Iterator[str]:
        """The targets that are not reached, and other reasons not to be content."""
        for severity, target in (("error", _ERRORS), ("warning", _WARNINGS)):
            if (precision := self.tally(severity).precision) < target:
                yield f"{precision:.1%} of the {severity}s are true; to reach: {target:.0%}"
        false = self.tally().false
        if false * _LINES_PER_FALSE > self.lines:
            yield f"{false} false findings in {self.lines:,} lines; to reach: one in {_LINES_PER_FALSE:,}"
        if self.new:
            yield f"{len(self.new)} findings are not judged"
        if failures := sum(bool(each.failures) for each in self.checked):
            yield f"{failures} files met a mistake of ours"

    def text(self) -> Iterator[str]:
        """The report, line by line."""
        relevant = [each for each in self.checked if each.lines]
        repositories = len({each.repository for each in relevant})
        yield f"{repositories} repositories, {len(relevant)} files with {self.lines:,} lines of training code"
        yield ""
        yield from _table("rule", _by_rule(self.counted))
        yield ""
        yield from _table("severity", {name: self.tally(name) for name in ("error", "warning", "information")}, True)
        false = self.tally().false
        yield f"false findings per {_LINES_PER_FALSE:,} lines: {false * _LINES_PER_FALSE / max(self.lines, 1):.2f}"
        if self.apart:
            yield ""
            yield from _table("off by default", _by_rule(self.apart))
        yield from self._places()
        yield from self._times()

    def _places(self) -> Iterator[str]:
        gone = [each for each in self.matched.gone if each.verdict]
        known = [(found, j) for found, j in self.counted if j is not None and not j.verdict]
        for title, rows in (
            ("New findings", [f"{_at(each)} {each.rule} {each.severity}: {each.message}" for each in self.new]),
            ("False findings", [f"{_at(each)} {each.rule} {each.severity}: {j.reason}" for each, j in known]),
            ("Judged true and no longer found", [f"{_at(each)} {each.rule}: {each.reason}" for each in gone]),
        ):
            if rows:
                yield from ("", f"{title} ({len(rows)})", *sorted(rows))
        if cured := len(self.matched.gone) - len(gone):
            yield from ("", f"{cured} findings that were judged false are no longer made.")

    def _times(self) -> Iterator[str]:
        slow = sorted((each for each in self.checked if each.seconds > _SLOW), key=lambda each: -each.seconds)
        if slow:
            yield from ("", f"Files that take more than {_SLOW:g} s of processor time ({len(slow)})")
            yield from (f"{each.seconds:5.1f} s {each.repository} {each.path}" for each in slow)
        total = sum(each.seconds for each in self.checked)
        yield from ("", f"{total:.0f} s of processor time, {total / max(self.lines, 1) * 1e6:.0f} ms per 1,000 lines")
        for each in self.checked:
            for failure in each.failures:
                yield from ("", f"A mistake of ours in {each.repository} {each.path}:", failure.rstrip())


def _at(each: Found | Judgement) -> str:
    return f"{each.repository} {each.place}"


def _by_rule(pairs: Iterable[tuple[Found, Judgement | None]]) -> Mapping[str, Tally]:
    tallies: dict[str, Tally] = {}
    for found, judgement in pairs:
        tallies.setdefault(found.rule, Tally()).count(judgement)
    return dict(sorted(tallies.items()))


def _table(title: str, tallies: Mapping[str, Tally], with_precision: bool = False) -> Iterator[str]:
    yield f"{title:<14} {'true':>6} {'false':>6} {'open':>6}" + ("  precision" if with_precision else "")
    for name, tally in tallies.items():
        row = f"{name:<14} {tally.true:>6} {tally.false:>6} {tally.open:>6}"
        yield row + (f"     {tally.precision:.1%}" if with_precision else "")
    if not with_precision:
        total = Counter[str]()
        for tally in tallies.values():
            total.update(true=tally.true, false=tally.false, open=tally.open)
        yield f"{'all':<14} {total['true']:>6} {total['false']:>6} {total['open']:>6}"
