"""What fixes change, as a patch."""

from __future__ import annotations

import difflib
import re

from gradsense.cli.documents import Document


def unified_diff(before: Document, after: Document) -> str:
    """The change from one text to another as `patch` and `git apply` take it; empty if there is none."""
    pieces = difflib.unified_diff(_lines(before.source), _lines(after.source), f"a/{before.name}", f"b/{after.name}")
    return "".join(
        piece if piece.endswith(("\n", "\r")) else f"{piece}\n\\ No newline at end of file\n" for piece in pieces
    )


def _lines(text: str) -> list[str]:
    """Lines with their ends, broken where Python breaks them."""
    return re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+", text)
