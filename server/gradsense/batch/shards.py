"""Which part of a set of files a file belongs to, on whatever machine."""

from __future__ import annotations

import hashlib


def part_of(name: str, parts: int) -> int:
    """The part, from 1 to `parts`, of a file by its name: other files, and what is in it, change nothing about that."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % parts + 1
