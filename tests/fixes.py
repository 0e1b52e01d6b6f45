"""What the light bulb's first fixes make of a program."""

from __future__ import annotations

from gradsense.config import Settings
from gradsense.engine import check_text
from gradsense.findings import Finding, Fix, apply_edits

MAX_FIXES = 20


def first_fix(finding: Finding) -> Fix | None:
    """The fix that is shown first, if it has something to apply."""
    return finding.fixes[0] if finding.fixes and finding.fixes[0].edits else None


def put_right(text: str, code: str, settings: Settings | None = None) -> str | None:
    """The program after the first fixes of a rule's findings, one after the other; None if there are none."""
    fixed = None
    for _ in range(MAX_FIXES):
        findings = [finding for finding in check_text(text, settings=settings) if finding.code == code]
        fix = next(filter(None, map(first_fix, findings)), None)
        if fix is None:
            return fixed
        text = fixed = apply_edits(text, fix.edits)
    raise AssertionError(f"still something to fix after {MAX_FIXES} fixes:\n{text}")
