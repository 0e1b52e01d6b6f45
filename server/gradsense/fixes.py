"""Which fixes go together, and what they make of a text: at once, or round after round until nothing is left."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gradsense.findings import Edit, Finding, Fix, Safety, apply_edits

ROUNDS = 10
"""Fixes uncover others; two that undo each other must end somewhere."""
UNPARSABLE = "they would leave code that doesn't parse. This is our mistake; please report it with the file"


class Fixable(Protocol):
    """A text that can be edited."""

    @property
    def text(self) -> str: ...
    def edited(self: F, edits: Iterable[Edit]) -> F:
        """The same after edits of its text. Raises ValueError where they can't be made."""


F = TypeVar("F", bound=Fixable)


@dataclass(frozen=True, slots=True)
class Program:
    """A text on its own."""

    text: str

    def edited(self, edits: Iterable[Edit]) -> Program:
        return Program(apply_edits(self.text, edits))


@dataclass(frozen=True, slots=True)
class Fixed(Generic[F]):
    """What fixing made of a text."""

    result: F
    applied: tuple[Finding, ...]
    """The findings whose fixes were applied, in order."""
    remaining: tuple[Finding, ...]
    """What is found in the fixed text."""
    refused: str | None = None
    """Why further fixes were left out."""


def fix(subject: F, analyse: Callable[[F], Sequence[Finding]], *, unsafe: bool = False) -> Fixed[F]:
    """Apply the fixes of what `analyse` finds: the safe ones; with `unsafe` also others, where none is safe.

    A round applies what goes together. A text that parses is never made one that doesn't. What a fix didn't help is
    not fixed again.
    """
    applied: list[Finding] = []
    findings = tuple(analyse(subject))
    not_helped: set[_At] = set()
    for _ in range(ROUNDS):
        chosen = choose_fixes((each for each in findings if _at(each) not in not_helped), unsafe=unsafe)
        if not chosen:
            break
        edits = edits_of(chosen)
        try:
            changed = subject.edited(edits)
        except ValueError as error:
            return Fixed(subject, tuple(applied), findings, str(error))
        if breaks(subject.text, changed.text):
            return Fixed(subject, tuple(applied), findings, UNPARSABLE)
        applied += (finding for finding, _ in chosen)
        tried = not_helped.union(_at(finding) for finding, _ in chosen)
        subject, findings = changed, tuple(analyse(changed))
        not_helped = {(code, _moved(start, edits)) for code, start in tried} & set(map(_at, findings))
    return Fixed(subject, tuple(applied), findings)


_At = tuple[str, int]


def _at(finding: Finding) -> _At:
    return finding.code, finding.span.start


def _moved(start: int, edits: Iterable[Edit]) -> int:
    """Where what begins at `start` begins after edits in front of it."""
    return start + sum(len(e.text) - (e.span.end - e.span.start) for e in edits if e.span.end <= start)


def safe_edits(text: str, findings: Iterable[Finding]) -> list[Edit]:
    """The edits of all safe fixes that go together; none if they would leave code that doesn't parse."""
    edits = edits_of(choose_fixes(findings))
    try:
        return [] if breaks(text, apply_edits(text, edits)) else edits
    except ValueError:
        return []


def choose_fixes(findings: Iterable[Finding], *, unsafe: bool = False) -> list[tuple[Finding, Fix]]:
    """Fixes that go together, the first in the text first. An edit that two share is made once."""
    chosen: list[tuple[Finding, Fix]] = []
    taken: set[Edit] = set()
    for finding in findings:
        fix = fix_of(finding, unsafe=unsafe)
        if fix is None:
            continue
        new = [edit for edit in fix.edits if edit not in taken]
        if new and not any(_touch(edit, other) for edit in new for other in taken):
            taken.update(new)
            chosen.append((finding, fix))
    return chosen


def edits_of(chosen: Iterable[tuple[Finding, Fix]]) -> list[Edit]:
    """The edits of fixes that go together, each once, in order of position."""
    return sorted({edit for _, fix in chosen for edit in fix.edits})


def fix_of(finding: Finding, *, unsafe: bool) -> Fix | None:
    """The fix to apply for a finding, if any."""
    if finding.preferred_fix is not None or not unsafe:
        return finding.preferred_fix
    return next((fix for fix in finding.fixes if fix.safety is Safety.UNSAFE and fix.edits), None)


def _touch(one: Edit, other: Edit) -> bool:
    """Whether two edits overlap or meet: which of two insertions at one place goes first is not told."""
    return one.span.start <= other.span.end and other.span.start <= one.span.end


def breaks(before: str, after: str) -> bool:
    """Whether a text that parsed no longer does."""
    return not parses(after) and parses(before)


def parses(text: str) -> bool:
    """Whether a text is a program."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<text>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
