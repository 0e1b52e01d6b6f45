"""TOML with its places, as far as it can be read: for who points at keys and values in a text that may be half typed.

What a file means is for a real parser to say, which keeps no places. This reader never refuses: a string or list
that isn't closed ends with its line, or where the next setting begins, and what can't be read is passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gradsense.findings import Span

_MOST_NESTED = 16
"""Lists and tables within each other; nobody writes more, and what is deeper is passed over."""

_BLANK = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)*")
_REST = re.compile(r"[^\r\n]*")
_BARE = re.compile(r"[^\s=.\[\]{},\"'#]+")
_OTHER = re.compile(r"[^,\]}#\r\n]*")
_ONE = r"(?:\"[^\"\r\n]*\"|'[^'\r\n]*'|[\w-]+)"
_PATH = rf"{_ONE}(?:[ \t]*\.[ \t]*{_ONE})*"
_NEW_STATEMENT = re.compile(
    rf"[ \t]*(?:{_PATH}[ \t]*=|\[\[?[ \t]*[A-Za-z_][\w-]*[ \t]*(?:\.|\]\]?[ \t]*(?:#|\r?$)))", re.M
)


class Key(NamedTuple):
    """One name of a dotted key: what it says, and where, quotes included. Empty where one is still missing."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Value:
    """A value and what is in it. `text` is what a string says; of anything else, how it is written."""

    kind: Literal["string", "list", "table", "other", "missing"]
    span: Span
    text: str = ""
    items: tuple[Value, ...] = ()
    entries: tuple[Entry, ...] = ()
    closed: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """`a.b = value`; without `=` the value is missing, and `equals` is None."""

    keys: tuple[Key, ...]
    value: Value
    equals: int | None

    @property
    def span(self) -> Span:
        """From the first key to the value's end."""
        return Span(self.keys[0].span.start, max(self.keys[-1].span.end, self.value.span.end))


@dataclass(frozen=True, slots=True)
class Table:
    """`[a.b]` and what stands below it; the first of a file has no header."""

    keys: tuple[Key, ...]
    header: Span
    entries: tuple[Entry, ...]
    is_array: bool = False


class Setting(NamedTuple):
    """A key by its whole path, wherever its parts stand."""

    path: tuple[str, ...]
    key: Key
    value: Value | None
    """None: the key of a table's header."""


def read_toml(text: str) -> tuple[Table, ...]:
    """The tables of a text, in order. Never fails."""
    return tuple(_Reader(text).tables())


def settings(tables: tuple[Table, ...]) -> Iterator[Setting]:
    """Every key, with its whole path; of a dotted one each part, the last with the value."""
    for table in tables:
        yield from _path(table.keys, (), None)
        yield from _entries(table.entries, tuple(key.name for key in table.keys))


def _entries(entries: tuple[Entry, ...], above: tuple[str, ...]) -> Iterator[Setting]:
    for entry in entries:
        yield from _path(entry.keys, above, entry.value)
        yield from _entries(entry.value.entries, (*above, *(key.name for key in entry.keys)))


def _path(keys: tuple[Key, ...], above: tuple[str, ...], value: Value | None) -> Iterator[Setting]:
    path = above
    for key in keys:
        path = (*path, key.name)
        yield Setting(path, key, value if key is keys[-1] else None)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def tables(self) -> Iterator[Table]:
        keys: tuple[Key, ...] = ()
        header, is_array = Span(0, 0), False
        entries: list[Entry] = []
        while True:
            self._skip(_BLANK_LINES)
            if self.at >= len(self.text):
                break
            if self.text[self.at] == "[":
                yield Table(keys, header, tuple(entries), is_array)
                start, entries = self.at, []
                is_array = self.text.startswith("[[", start)
                self.at += 1 + is_array
                keys = self._keys()
                if self.text.startswith("]", self.at):
                    self.at += 1 + (is_array and self.text.startswith("]]", self.at))
                header = Span(start, self.at)
            elif (entry := self._entry(0)) is not None:
                entries.append(entry)
            self._skip(_REST)
        yield Table(keys, header, tuple(entries), is_array)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return match[0]

    def _entry(self, depth: int) -> Entry | None:
        start = self.at
        keys = self._keys()
        if not self.text.startswith("=", self.at):
            if keys[-1].span.end == start:
                return None
            return Entry(keys, Value("missing", Span(self.at, self.at)), None)
        equals = self.at
        self.at += 1
        return Entry(keys, self._value(depth), equals)

    def _keys(self) -> tuple[Key, ...]:
        found: list[Key] = []
        while True:
            self._skip(_BLANK)
            start = self.at
            if self.text[start : start + 1] in ('"', "'"):
                name = self._string().text
            else:
                match = _BARE.match(self.text, start)
                name = match[0] if match is not None else ""
                self.at += len(name)
            found.append(Key(name, Span(start, self.at)))
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return tuple(found)
            self.at += 1

    def _value(self, depth: int) -> Value:
        self._skip(_BLANK)
        start = self.at
        first = self.text[start : start + 1]
        if first in ('"', "'"):
            return self._string()
        if first == "[" and depth < _MOST_NESTED:
            return self._list(depth)
        if first == "{" and depth < _MOST_NESTED:
            return self._table(depth)
        text = self._skip(_OTHER).rstrip()
        self.at = start + len(text)
        return Value("other" if text else "missing", Span(start, self.at), text)

    def _string(self) -> Value:
        start, quote = self.at, self.text[self.at]
        if self.text.startswith(quote * 3, start):
            end = self.text.find(quote * 3, start + 3)
            if end >= 0:
                self.at = end + 3
                return Value("string", Span(start, self.at), self.text[start + 3 : end])
        escaped = r"\\." if quote == '"' else r"(?!)"
        match = re.compile(rf"{quote}((?:{escaped}|[^{quote}\r\n])*)({quote}?)").match(self.text, start)
        assert match is not None
        self.at = match.end()
        return Value("string", Span(start, self.at), _plain(match[1], quote), closed=bool(match[2]))

    def _list(self, depth: int) -> Value:
        start = self.at
        self.at += 1
        items: list[Value] = []
        while True:
            before = self.at
            self._skip(_BLANK_LINES)
            if self.at >= len(self.text) or self._statement_begins(before):
                self.at = before
                return Value("list", Span(start, self.at), items=tuple(items), closed=False)
            if self.text[self.at] == "]":
                self.at += 1
                return Value("list", Span(start, self.at), items=tuple(items))
            if self.text[self.at] == ",":
                self.at += 1
                continue
            item = self._value(depth + 1)
            if item.kind == "missing":
                self.at += 1
            else:
                items.append(item)

    def _statement_begins(self, before: int) -> bool:
        """Whether a setting or header begins here, on a line that has begun since `before`."""
        if not any(newline in self.text[before : self.at] for newline in "\r\n"):
            return False
        return _NEW_STATEMENT.match(self.text, self.at) is not None

    def _table(self, depth: int) -> Value:
        start = self.at
        self.at += 1
        entries: list[Entry] = []
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text) or self.text[self.at] in "\r\n#":
                return Value("table", Span(start, self.at), entries=tuple(entries), closed=False)
            if self.text[self.at] == "}":
                self.at += 1
                return Value("table", Span(start, self.at), entries=tuple(entries))
            entry = self._entry(depth + 1) if self.text[self.at] != "," else None
            if entry is None:
                self.at += 1
            else:
                entries.append(entry)


def _plain(text: str, quote: str) -> str:
    if quote == "'" or "\\" not in text:
        return text
    try:
        # JSON knows the escapes that keys and names are written with.
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
