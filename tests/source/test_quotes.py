"""A triple quote is missing where the text reads best with it."""

from __future__ import annotations

import pytest

from gradsense.source import quotes
from gradsense.source.quotes import NOTHING_MISSING, missing_quotes

SOUND = '''"""A module of two functions.

Both are here for what stands between them.
"""

import torch


def first(x):
    """Give what it gets.

    Args:
        x: what it gives.

    Example::

            x = first(x)
    """
    y = x + 1
    return y


def second(x):
    """Don't give what it gets."""
    text = \'\'\'
    Plain words, not code.
    \'\'\'
    return x, text
'''


def place_of(line: str) -> int:
    return SOUND.index(line)


def test_of_a_sound_text_nothing_is_missing() -> None:
    assert missing_quotes(SOUND) is NOTHING_MISSING


@pytest.mark.parametrize(
    ("number", "ends"),
    [(1, "\nimport torch"), (3, "    y = x + 1"), (5, "    text = "), (-1, "    return x, text")],
)
def test_a_closing_quote(number: int, ends: str) -> None:
    damaged, place = without(number)
    found = missing_quotes(damaged)
    assert not found.begins
    assert [damaged[end:].lstrip() for end in found.ends] == [SOUND[place_of(ends) :].lstrip()]
    assert found.ends[0] >= place


@pytest.mark.parametrize(("number", "quote"), [(0, '"""'), (2, '"""'), (-2, "'''")])
def test_an_opening_quote(number: int, quote: str) -> None:
    damaged, place = without(number)
    found = missing_quotes(damaged)
    assert not found.ends
    assert list(found.begins.values()) == [quote]
    (begin,) = found.begins
    line = damaged.rfind("\n", 0, place) + 1
    assert damaged[line:begin].count("\n") <= 1


def test_a_quote_too_many() -> None:
    at = place_of("    return y")
    damaged = f'{SOUND[:at]}    """\n{SOUND[at:]}'
    found = missing_quotes(damaged)
    assert found.ends == (at + len('    """\n'),)
    assert not found.begins


def test_code_in_a_string_is_no_reason() -> None:
    text = 'TEMPLATE = """\nimport torch\n\nmodel = f(1)\nmodel.train()\n"""\n'
    assert missing_quotes(text) is NOTHING_MISSING


def without(number: int) -> tuple[str, int]:
    """The text without one of its triple quotes, and where that was."""
    places = [at for at in range(len(SOUND)) if SOUND[at : at + 3] in ('"""', "'''")]
    return SOUND[: places[number]] + SOUND[places[number] + 3 :], places[number]


def test_a_line_that_is_being_typed_costs_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote or bracket that is open in a text whose triple quotes are where they belong."""
    monkeypatch.setattr(quotes, "_cheapest", None)
    for typed in ("    print('", "    y = first(x", '    print(f"{x:'):
        assert missing_quotes(SOUND.replace("    y = x + 1", typed)) is NOTHING_MISSING


def test_a_text_that_reads_oddly_may_need_nothing_nevertheless() -> None:
    """Unpaired quotes in as many lines as make a search worth its while."""
    odd = "".join(f"    print('{number}\n" for number in range(4))
    assert missing_quotes(SOUND.replace("    y = x + 1\n", odd)) is NOTHING_MISSING
