"""Real files to try things on: the standard library, torch and Lightning as they are installed."""

from __future__ import annotations

import random
import sysconfig
import tokenize
from functools import cache
from pathlib import Path

from gradsense.source.blocks import Block, BlockTree, Document

_LIBRARY = Path(sysconfig.get_path("stdlib"))
_PACKAGES = Path(sysconfig.get_path("purelib"))


@cache
def paths(*, library: bool = True) -> tuple[Path, ...]:
    """The files in a random order that is always the same."""
    folders = [_PACKAGES / "torch" / name for name in ("nn", "optim", "utils", "distributed", "ao")]
    folders += [_PACKAGES / "lightning" / name for name in ("pytorch", "fabric")]
    if library:
        folders.append(_LIBRARY)
    found = sorted(
        path
        for folder in folders
        for path in folder.rglob("*.py")
        if "lib2to3" not in path.parts and (folder != _LIBRARY or "site-packages" not in path.parts)
    )
    random.Random(20).shuffle(found)
    return tuple(found)


def read(path: Path) -> str | None:
    """The file's text with its own newlines; None where that is not valid Python."""
    try:
        with tokenize.open(path) as file:
            encoding = file.encoding
        text = path.read_bytes().decode(encoding)
        compile(text, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, LookupError):
        return None
    return text


def trees(document: Document) -> list[tuple[int, BlockTree]]:
    """Every tree of the document, from the top down, with the offset of its text in the document's."""
    found: list[tuple[int, BlockTree]] = []
    pending = list(reversed(document.blocks))
    while pending:
        start, tree = pending.pop()
        found.append((start, tree))
        below = [(start + offset, child) for suite in tree.suites for offset, child in suite.children]
        pending += reversed(below)
    return found


def blocks(document: Document) -> list[Block]:
    """Every block of the document, from the top down."""
    return [tree.block for _, tree in trees(document)]


def holes(document: Document) -> list[Block]:
    """The document's holes."""
    return [block for block in blocks(document) if block.hole is not None]
