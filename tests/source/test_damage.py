"""Damage to real files: how much is lost besides the statement that it is in."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable

import pytest

from gradsense.source.blocks import read_document
from tests.source import corpus

DAMAGES: dict[str, tuple[str, Callable[[str], str]]] = {
    "a quote taken away": (r"""(?<!["'])["'](?!["'])""", lambda _: ""),
    "a bracket never opened": (r"[(\[{]", lambda _: ""),
    "a bracket never closed": (r"[)\]}]", lambda _: ""),
    "a colon taken away": (r":(?=\r?\n)", lambda _: ""),
    "a triple quote taken away": ('"""', lambda _: ""),
    "a triple quote begun": (r"\n(?=    \w)", lambda _: '\n    """'),
    "a call begun": (r"\n( +)(?=\w)", lambda indent: f"\n{indent}foo("),
    "a string begun": (r"\n( +)(?=\w)", lambda indent: f'\n{indent}x = "abc\n{indent}'),
    "a statement begun": (r"\n( +)(?=\w)", lambda indent: f"\n{indent}for x in\n{indent}"),
    "a definition begun": (r"\n( +)(?=\w)", lambda indent: f"\n{indent}def f(\n{indent}"),
    "a block begun": (r"\n( +)(?=\w)", lambda indent: f"\n{indent}with x:\n{indent}"),
    "an attribute begun": (r"\n( +)(?=\w)", lambda indent: f"\n{indent}self.\n{indent}"),
}


def lost_share(text: str, pattern: str, change: Callable[[str], str], chance: random.Random) -> float | None:
    """Which share of the blocks is gone after one change."""
    places = list(re.finditer(pattern, text))
    if not places:
        return None
    place = chance.choice(places)
    damaged = text[: place.start()] + change(place[1] if place.re.groups else "") + text[place.end() :]
    before = Counter(block.text for block in corpus.blocks(read_document(text)))
    after = Counter(block.text for block in corpus.blocks(read_document(damaged)) if block.hole is None)
    return sum((before - after).values()) / sum(before.values())


@pytest.mark.parametrize("name", DAMAGES)
def test_most_of_a_file_survives(name: str) -> None:
    chance = random.Random(name)
    shares = []
    for path in corpus.paths(library=False):
        text = corpus.read(path)
        if text is None or not 5_000 < len(text) < 12_000:
            continue
        share = lost_share(text, *DAMAGES[name], chance)
        if share is not None:
            shares.append(share)
        if len(shares) == 16:
            break
    shares.sort()
    assert shares[len(shares) // 2] < 0.1, shares
    assert sum(shares) / len(shares) < 0.25, shares
