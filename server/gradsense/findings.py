"""What a rule says: findings, the lines that take part in them, and their fixes.

All places are half-open ranges of code points in the text that was analysed; only `lsp/` and `cli/` turn them into
lines and columns.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Severity(enum.Enum):
    """How sure a finding is of how much harm."""

    ERROR = "error"
    """The program will not train, or the line has no effect: certain."""
    WARNING = "warning"
    """Very likely wrong."""
    INFORMATION = "information"
    """Worth knowing."""

    def lowered(self) -> Severity:
        """The next lower severity: for what holds on some paths only."""
        return Severity.WARNING if self is Severity.ERROR else Severity.INFORMATION


class Safety(enum.Enum):
    """Who may apply a fix."""

    SAFE = "safe"
    """Right without a look: preferred in the light bulb, part of fix-all and `--fix`."""
    UNSAFE = "unsafe"
    """Changes more than the symptom (what is trained, numerics): offered, never applied on its own."""
    DISPLAY_ONLY = "display-only"
    """Told in the message; there is no edit to apply."""


class Tag(enum.Enum):
    """How an editor may draw a finding's range."""

    UNNECESSARY = "unnecessary"
    DEPRECATED = "deprecated"


class Span(NamedTuple):
    """A half-open range of code points in a text."""

    start: int
    end: int


class Edit(NamedTuple):
    """Replace the text of `span` by `text`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """One way out of a finding.

    `title` is an imperative with the names of the user's code. `edits` don't overlap, and lie in the finding's file.
    """

    title: str
    edits: tuple[Edit, ...]
    safety: Safety


@dataclass(frozen=True, slots=True)
class Related:
    """A place that takes part in a finding: two to five words about it.

    `path` is None where the place lies in the finding's own file; else `span` is a range of that file's text.
    """

    message: str
    span: Span
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake, at one place.

    `message` has two sentences: what will happen at run time; what to do. `key` tells the finding apart from others
    of its rule independently of its position (the text of its statement and its number among equal ones), so that
    it is found again after an edit.
    """

    code: str
    name: str
    severity: Severity
    span: Span
    message: str
    related: tuple[Related, ...] = ()
    fixes: tuple[Fix, ...] = ()
    tags: frozenset[Tag] = frozenset()
    key: str = ""

    @property
    def preferred_fix(self) -> Fix | None:
        """The fix that may be applied without a look."""
        return next((fix for fix in self.fixes if fix.safety is Safety.SAFE and fix.edits), None)


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """`text` with all of `edits` made at once.

    Raises ValueError if two of them overlap.
    """
    pieces: list[str] = []
    position = 0
    for edit in sorted(edits):
        if edit.span.start < position:
            raise ValueError(f"overlapping edits at offset {edit.span.start}")
        pieces += (text[position : edit.span.start], edit.text)
        position = edit.span.end
    pieces.append(text[position:])
    return "".join(pieces)
