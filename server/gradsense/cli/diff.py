"""What fixes change, as a patch."""

from __future__ import annotations

import difflib
import os
import re

from gradsense.cli.documents import Document


def unified_diff(before: Document, after: Document) -> str:
    """The change from one text to another as `patch` and `git apply` take it; empty if there is none."""
    names = _quoted(f"a/{before.name}"), _quoted(f"b/{after.name}")
    pieces = difflib.unified_diff(_lines(before.source), _lines(after.source), *names)
    return "".join(
        piece if piece.endswith(("\n", "\r")) else f"{piece}\n\\ No newline at end of file\n" for piece in pieces
    )


def _quoted(name: str) -> str:
    """A path as git writes it: in quotes and with octal escapes, where it holds what would end it."""
    if not re.search(r'[\x00-\x1f\x7f"\\\ud800-\udfff]', name):
        return name
    escaped = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\{byte:03o}" for byte in os.fsencode(name)
    )
    return f'"{"".join(escaped)}"'


def _lines(text: str) -> list[str]:
    """Lines with their ends, broken where Python breaks them."""
    return re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+", text)
