"""What is found only since a line is being typed is told once the line may be meant so.

`optimizer.step` is a mistake, and it is on the way to `optimizer.step()`, as `lr=0.00` is on the way to `lr=0.001`.
The engine sees a text and no caret, so it tells of both. While the user types within a line, and what stands in front
of the caret could go on, only those findings are told that were there before: until the line is closed by a bracket,
quote or colon, something is edited elsewhere, the text is saved, or nothing is typed for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gradsense.findings import Finding
from gradsense.lsp.documents import Source

SECONDS = 1.0
"""After so long without an edit a line is meant as it stands."""

_CLOSES = frozenset(")]}\"':")


@dataclass
class _Told:
    """What was found when the user was not within a line."""

    keys: set[tuple[str, str]] = field(default_factory=set)
    lines: set[tuple[str, str, int]] = field(default_factory=set)
    """Rules with documents and lines: while a finding's line is typed on, its key changes. Lines don't move then."""


class HalfTyped:
    """The findings of each text that may be told, while its user types."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}
        self._meant: dict[str, int] = {}
        """The revisions that are meant as they stand."""

    def told(self, source: Source, findings: Sequence[Finding]) -> Sequence[Finding]:
        """Those of a text's findings that may be told now."""
        told = self._told.get(source.uri)
        if told is None or self._meant.get(source.uri) == source.revision or not is_half_typed(source):
            told = self._told[source.uri] = _Told()
            told.keys.update((each.code, each.key) for each in findings)
            told.lines.update(_line(source, each) for each in findings)
            return findings
        return [each for each in findings if (each.code, each.key) in told.keys or _line(source, each) in told.lines]

    def meant(self, unit: str, revision: int) -> None:
        """A text is meant as it is at this revision."""
        self._meant[unit] = revision

    def closed(self, unit: str) -> None:
        """A text is no longer open."""
        self._told.pop(unit, None)
        self._meant.pop(unit, None)


def is_half_typed(source: Source) -> bool:
    """Whether what stands in front of the caret could go on."""
    if source.typed_at is None:
        return False
    before = source.text[: source.typed_at]
    line = before[max(before.rfind("\n"), before.rfind("\r")) + 1 :].rstrip()
    return bool(line) and line[-1] not in _CLOSES


def _line(source: Source, finding: Finding) -> tuple[str, str, int]:
    part = source.part_at(finding.span.start)
    return finding.code, part.uri, part.lines.position(finding.span.start - part.start)[0]
