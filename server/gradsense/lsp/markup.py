"""What users write, shown as what it is: never as markup."""

from __future__ import annotations

import re


def code_block(text: str) -> str:
    """Markdown that shows `text` as it stands. Its fence is longer than any that `text` could close it with."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def without_links(text: str) -> str:
    """A message for a window: some editors make `[words](address)` a link there, commands among the addresses."""
    return text.replace("](", "] (")
