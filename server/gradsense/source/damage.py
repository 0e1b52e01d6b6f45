"""Whether a text is whole: an editor's user is in the middle of a line most of the time."""

from __future__ import annotations

from gradsense.source.blocks import read_document


def is_damaged(text: str, cells: tuple[int, ...] = ()) -> bool:
    """Whether any of a text doesn't parse."""
    pending = [tree for _, tree in read_document(text, cells).blocks]
    while pending:
        tree = pending.pop()
        if tree.block.hole is not None:
            return True
        pending += (child for suite in tree.suites for _, child in suite.children)
    return False
