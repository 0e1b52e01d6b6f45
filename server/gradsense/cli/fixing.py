"""Fixes applied to a text, round after round, until nothing more is to be fixed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gradsense.findings import Edit, Finding, Fix, Safety, apply_edits

ROUNDS = 10
"""Fixes uncover others; two that undo each other must end somewhere."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """What fixing made of a text."""

    text: str
    applied: tuple[Finding, ...]
    """The findings whose fixes were applied, in order."""
    remaining: tuple[Finding, ...]
    """What is found in the fixed text."""
    refused: bool = False
    """The next round's text would not have parsed, so it was left out."""


def fix_text(text: str, analyse: Callable[[str], Sequence[Finding]], *, unsafe: bool = False) -> Fixed:
    """Apply the fixes of what `analyse` finds: the safe ones; with `unsafe` also others, where none is safe.

    A round applies what does not overlap. A text that parses is never made one that doesn't.
    """
    applied: list[Finding] = []
    findings = tuple(analyse(text))
    for _ in range(ROUNDS):
        chosen = choose_fixes(findings, unsafe=unsafe)
        if not chosen:
            break
        changed = apply_edits(text, {edit for _, fix in chosen for edit in fix.edits})
        if parses(text) and not parses(changed):
            return Fixed(text, tuple(applied), findings, refused=True)
        applied += (finding for finding, _ in chosen)
        text, findings = changed, tuple(analyse(changed))
    return Fixed(text, tuple(applied), findings)


def choose_fixes(findings: Iterable[Finding], *, unsafe: bool) -> list[tuple[Finding, Fix]]:
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


def fix_of(finding: Finding, *, unsafe: bool) -> Fix | None:
    """The fix to apply for a finding, if any."""
    if finding.preferred_fix is not None or not unsafe:
        return finding.preferred_fix
    return next((fix for fix in finding.fixes if fix.safety is Safety.UNSAFE and fix.edits), None)


def _touch(one: Edit, other: Edit) -> bool:
    """Whether two edits overlap or meet: which of two insertions at one place goes first is not told."""
    return one.span.start <= other.span.end and other.span.start <= one.span.end


def parses(text: str) -> bool:
    """Whether a text is a program."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<text>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
