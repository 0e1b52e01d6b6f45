"""What was found last by following the files that call an open one, carried over what is typed until they are followed
again: that takes longer than there is between two keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gradsense.findings import Edit, Finding, Fix, Related, Span
from gradsense.snapshot import Snapshot, SourceFile


@dataclass(frozen=True, slots=True)
class Called:
    """What a snapshot's callers have added to what it says by itself, and taken from it (by code and key)."""

    findings: tuple[Finding, ...]
    withdrawn: frozenset[tuple[str, str]]
    snapshot: Snapshot

    @staticmethod
    def beyond(own: Sequence[Finding], whole: Sequence[Finding], snapshot: Snapshot) -> Called:
        """What tells the findings on the whole from what the file says by itself."""
        known = {(finding.code, finding.span) for finding in own}
        kept = {(finding.code, finding.span) for finding in whole}
        return Called(
            tuple(each for each in whole if (each.code, each.span) not in known),
            frozenset((each.code, each.key) for each in own if (each.code, each.span) not in kept),
            snapshot,
        )

    def joined(self, own: tuple[Finding, ...], snapshot: Snapshot) -> tuple[Finding, ...]:
        """What the file of a newer snapshot says by itself, with these findings where its text is as it was, and
        without those that they had taken back.
        """
        own = tuple(each for each in own if (each.code, each.key) not in self.withdrawn)
        if not self.findings:
            return own
        known = {(finding.code, finding.span) for finding in own}
        kept = [each for each in self._carried(snapshot) if (each.code, each.span) not in known]
        return tuple(sorted((*own, *kept), key=lambda each: (each.span, each.code)))

    def _carried(self, snapshot: Snapshot) -> Iterator[Finding]:
        change = _Change.between(self.snapshot.text, snapshot.text)
        before, now = _texts(self.snapshot), _texts(snapshot)
        for finding in self.findings:
            span = change.carried(finding.span)
            if span is None:
                continue
            related = [
                replace(each, span=at)
                for each in finding.related
                if (at := _still(each, before, now) if each.path is not None else change.carried(each.span)) is not None
            ]
            fixes = (change.carried_fix(fix) for fix in finding.fixes)
            yield replace(
                finding, span=span, related=tuple(related), fixes=tuple(fix for fix in fixes if fix is not None)
            )


@dataclass(frozen=True, slots=True)
class _Change:
    """The stretch of a text that became another, and by how much what follows has moved."""

    start: int
    end: int
    by: int

    @staticmethod
    def between(before: str, now: str) -> _Change:
        start = _common(before, now, min(len(before), len(now)), from_end=False)
        tail = _common(before, now, min(len(before), len(now)) - start, from_end=True)
        return _Change(start, len(before) - tail, len(now) - len(before))

    def carried(self, span: Span) -> Span | None:
        """Where a span of the text before is now; None for one that the change has touched."""
        if span.end <= self.start:
            return span
        return Span(span.start + self.by, span.end + self.by) if span.start >= self.end else None

    def carried_fix(self, fix: Fix) -> Fix | None:
        edits = [(self.carried(edit.span), edit.text) for edit in fix.edits]
        if any(span is None for span, _ in edits):
            return None
        return replace(fix, edits=tuple(Edit(span, text) for span, text in edits if span is not None))


def _common(one: str, other: str, most: int, *, from_end: bool) -> int:
    """How many characters two texts have in common at their beginnings, or at their ends. Comparing halves takes no
    time, comparing one character after the other does."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        same = one.endswith(other[len(other) - middle :]) if from_end else one.startswith(other[:middle])
        least, most = (middle, most) if same else (least, middle - 1)
    return least


def _texts(snapshot: Snapshot) -> dict[str, str]:
    return {answer.path: answer.text for answer in snapshot.answers.values() if isinstance(answer, SourceFile)}


def _still(related: Related, before: dict[str, str], now: dict[str, str]) -> Span | None:
    """The place in another file, if that is as it was."""
    path = related.path or ""
    return related.span if path in now and now[path] == before.get(path) else None
