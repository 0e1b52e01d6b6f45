"""Where a triple quote is missing: the reading of a text in which the fewest lines look odd.

Behind a triple quote too few, or too many, strings and code have changed places up to the end of the text. Which of
them lacks one can't be told from where it stands; but code reads as code, and prose as prose. So each physical line has
a price in either reading, to go from one to the other at the beginning of a line without a quote has a high one, and
the cheapest way through the text is taken. One pass finds it (Viterbi's algorithm).
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from gradsense.source.lexical import TOKEN, TRIPLE_END, column_of
from gradsense.source.memo import Memo


class Missing(NamedTuple):
    """What is read into a text. All places are beginnings of physical lines."""

    ends: tuple[int, ...]
    """Where a string ends whose closing quote is missing, in order."""
    begins: Mapping[int, str]
    """Where one begins whose opening quote is missing, with the quote."""


NOTHING_MISSING = Missing((), MappingProxyType({}))

_CHANGE = 8
"""The price of a quote that is not there. One is needed wherever the quotes are odd in number; that two are missing is
believed of a text only where some sixteen lines look odd otherwise."""
_DEFINITION_IN_STRING = 3
_WORD_AT_QUOTE = 2
_UNPAIRED_QUOTE = 3


class _Way(NamedTuple):
    """The cheapest way to read the text up to some line such that it begins in code, or in a string."""

    price: int
    column: int
    """The indentation of the line that the string was begun in."""
    changes: _Change | None

    def dearer(self, price: int) -> _Way:
        return self._replace(price=self.price + price) if price else self


class _Change(NamedTuple):
    """A quote that is read into the text, and those before it."""

    before: _Change | None
    place: int
    opens: str
    """The quote, or nothing where it is a closing one."""


class _Looks(NamedTuple):
    """How odd a line would be in either reading."""

    indent: int
    """-1 for a blank line."""
    as_code: int
    in_string: int
    """Where it is indented no deeper than the string itself."""


def missing_quotes(text: str) -> Missing:
    """The triple quotes that `text` most likely lacks; nothing, if it is read best as it stands."""
    missing = _found.get(text)
    if missing is None:
        quotes = [quote for quote in TRIPLE_END if quote in text]
        missing = NOTHING_MISSING if _reads_well(text, quotes) else _cheapest(text, quotes)
        _found.put(text, missing, len(text))
    return missing


# As many characters: what is typed in a file is asked for several times.
_found: Memo[str, Missing] = Memo(500_000)


def _reads_well(text: str, quotes: list[str]) -> bool:
    """Whether a text as it stands is cheaper than any with another quote."""
    quote, way = "", _Way(0, 0, None)
    for _, line in _lines(text):
        looks = _looks(line[:_TELLING])
        if any(each in line for each in quotes):
            quote, way = _through(line, looks.indent, quote, way)
        elif looks.indent >= 0:
            way = way.dearer(_price_in_string(way, looks) if quote else looks.as_code)
        if way.price >= _CHANGE:
            return False
    return not quote


def _cheapest(text: str, quotes: list[str]) -> Missing:
    code: _Way | None = _Way(0, 0, None)
    strings: dict[str, _Way] = {}
    for start, line in _lines(text):
        looks = _looks(line[:_TELLING])
        if looks.indent >= 0:
            code, strings = _changed(code, strings, quotes, start, looks.indent)
        if not any(quote in line for quote in quotes):
            if looks.indent >= 0:
                code = code.dearer(looks.as_code) if code else None
                strings = {q: way.dearer(_price_in_string(way, looks)) for q, way in strings.items()}
            continue
        readings = [_through(line, looks.indent, quote, way) for quote, way in [("", code), *strings.items()] if way]
        code = min((way for quote, way in readings if not quote), default=None, key=_price)
        strings = {}
        for quote, way in readings:
            if quote and (quote not in strings or way.price < strings[quote].price):
                strings[quote] = way
    ends = [way.dearer(_CHANGE) for way in strings.values()]
    return _missing(min([code, *ends] if code else ends, key=_price).changes)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The physical lines with their places."""
    position = 0
    for match in _LINE.finditer(text):
        yield position, match[0]
        position = match.end()


_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


def _price(way: _Way) -> int:
    return way.price


def _changed(
    code: _Way | None, strings: dict[str, _Way], quotes: list[str], place: int, indent: int
) -> tuple[_Way | None, dict[str, _Way]]:
    """The ways that lead into a line, with those that change at its beginning.

    Of two places that are as good, a string ends at the first one, and begins at the last one: what can't be told is
    code.
    """
    cheapest = min(strings.values(), default=None, key=_price)
    opened = strings
    if code is not None:
        begun = _Way(code.price + _CHANGE, indent, None)
        for quote in quotes:
            if quote not in strings or begun.price <= strings[quote].price:
                opened = {**opened, quote: begun._replace(changes=_Change(code.changes, place, quote))}
    if cheapest is not None:
        # Code that goes on deeper than its docstring stands is odd, too.
        price = cheapest.price + _CHANGE + (indent > cheapest.column)
        if code is None or price < code.price:
            code = _Way(price, 0, _Change(cheapest.changes, place, ""))
    return code, opened


def _price_in_string(way: _Way, looks: _Looks) -> int:
    if looks.indent > way.column:
        return 0
    return looks.in_string + (looks.indent < way.column)


def _through(line: str, indent: int, quote: str, way: _Way) -> tuple[str, _Way]:
    """Where a way leads that comes to a line with triple quotes in code, or in a string of that quote."""
    price, column, position = 0, way.column, 0
    code: list[str] = []
    if quote:
        closing = TRIPLE_END[quote].match(line)
        if closing is None:
            return quote, way.dearer(_price_in_string(way, _looks(line[:_TELLING])))
        price += _price_in_string(way, _looks(line[: closing.end() - 3][:_TELLING]))
        position = closing.end()
        price += _WORD_AT_QUOTE * bool(_WORD.match(line, position))
        quote = ""
    while True:
        token = TOKEN.search(line, position)
        code.append(line[position : token.start() if token else len(line)])
        if token is None or token.lastgroup in ("newline", "comment", "quote"):
            code += token[0] if token and token.lastgroup == "quote" else ""
            break
        position = token.end()
        if token.lastgroup != "triple":
            code.append(token[0])
            continue
        price += _WORD_AT_QUOTE * bool(_WORD_BEFORE.search(code[-1]))
        closing = TRIPLE_END[token[0]].match(line, position)
        if closing is None:
            quote, column = token[0], max(indent, 0)
            break
        code.append("0")
        position = closing.end()
    price += _looks("".join(code)[:_TELLING]).as_code
    return quote, _Way(way.price + price, column, way.changes)


def _missing(change: _Change | None) -> Missing:
    ends: list[int] = []
    begins: dict[int, str] = {}
    while change is not None:
        if change.opens:
            begins[change.place] = change.opens
        else:
            ends.append(change.place)
        change = change.before
    return Missing(tuple(reversed(ends)), begins) if ends or begins else NOTHING_MISSING


_TELLING = 200
"""So much of a line tells what it is."""
_WORD = re.compile(r"\w")
_WORD_BEFORE = re.compile(r"(?<![^\W\d])(?![rRbBfFuU]{1,2}$)\w+$")

_ANY_KEYWORD = rf"(?:{'|'.join(keyword.kwlist)})\b"
_NO_NAMES = re.compile(r"""\#.*|\"{3}|'{3}|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""")
_UNPAIRED = re.compile("[\"']")
_PROSE = re.compile(
    rf"""[`$?]|\\.|!(?!=)
    |(?<![\w.])(?!{_ANY_KEYWORD})(?!(?:match|case|type)\b)[^\W\d]\w*[ ]+(?!{_ANY_KEYWORD})[^\W\d]  # two words
    |^(?:>>>|\.\.|:|[-*+][ ]|---|===|~~~)
    |^(?!{_ANY_KEYWORD})[^\W\d]\w*(?:[ ]\([^()]*\))?:{{1,2}}$
    |^(?!{_ANY_KEYWORD})[^\W\d]\w*[ ]\([^()]*\):
    |[^\W\d]\.$""",
    re.VERBOSE,
)
_DEFINITION = re.compile(
    r"(?:async\s+)?def\s+\w+\s*\(|class\s+\w+\s*[:(]|from\s+[\w.]+\s+import\b|@[\w.]+(?:\(|$)"
    r"|import\s+[\w.]+(?:\s+as\s+\w+)?$|if\s+__name__\b"
)
_STATEMENT = re.compile(
    r"""[\w.]+(?:\[[^\]]*\])*(?:,[ ]*[\w.]+)*[ ]*(?::[^=]+)?[-+*/%@&|^]?=(?!=)
    |[\w.]+\(
    |(?:if|elif|else|for|while|with|try|except|finally|async)\b.*:$
    |(?:return|raise|pass|break|continue|del|assert|global|nonlocal|yield|await)\b""",
    re.VERBOSE,
)


@lru_cache(maxsize=8_192)
def _looks(line: str) -> _Looks:
    """What a line says by itself."""
    bare = line.lstrip(" \t\f")
    indent = column_of(line[: len(line) - len(bare)])
    bare = bare.rstrip()
    if not bare:
        return _Looks(-1, 0, 0)
    bare = _NO_NAMES.sub("0", bare).rstrip()
    if _UNPAIRED.search(bare):
        return _Looks(indent, _UNPAIRED_QUOTE, 0)
    if _PROSE.search(bare):
        return _Looks(indent, 1, 0)
    if _DEFINITION.match(bare):
        return _Looks(indent, 0, _DEFINITION_IN_STRING)
    return _Looks(indent, 0, 1 if _STATEMENT.match(bare) else 0)
