"""A configuration file that is open: what stands where in it, as far as it can be told of a text being typed.

Only what belongs to GradSense is looked at: `[tool.gradsense]` of a `pyproject.toml`, all of a `gradsense.toml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Literal, NamedTuple

from gradsense.config import FILES, ConfigProblem
from gradsense.findings import Span
from gradsense.lsp.convert import path_of
from gradsense.source.lines import LineIndex
from gradsense.source.toml import Entry, Setting, Table, Value, read_toml, settings


def is_configuration(uri: str) -> bool:
    """Whether a document is a configuration file, by its name."""
    return PurePath(path_of(uri)).name in FILES


class Place(NamedTuple):
    """What is being written at an offset: the name of a table, a key below a path, or the value of one."""

    kind: Literal["header", "key", "value"]
    path: tuple[str, ...]
    """From the file's root; of a key, what is above it."""
    word: Span
    """What is there already, without quotes."""
    quoted: bool = False
    assigned: bool = False
    """Whether the key has its `=` already."""
    beside: frozenset[str] = frozenset()
    """The other strings of the list."""


class Selector(NamedTuple):
    """Where a configuration names rules: by code, prefix or name."""

    text: str
    span: Span


@dataclass(frozen=True)
class ConfigDocument:
    """One text of a configuration file."""

    text: str
    prefix: tuple[str, ...]

    @classmethod
    def of(cls, uri: str, text: str) -> ConfigDocument:
        """The document of a URI for which `is_configuration` holds."""
        return cls(text, FILES[PurePath(path_of(uri)).name])

    @cached_property
    def lines(self) -> LineIndex:
        return LineIndex(self.text)

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        return read_toml(self.text)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """GradSense's keys, their paths without the prefix; that of the prefix itself is empty."""
        depth = len(self.prefix)
        return tuple(
            Setting(path[depth:], key, value)
            for path, key, value in settings(self.tables)
            if path[:depth] == self.prefix
        )

    def place_of(self, problem: ConfigProblem) -> Span:
        """Where a problem is: at its value or key, else at the nearest key above; the text's start if there is none."""
        for depth in range(len(problem.key), -1, -1):
            found = [each for each in self.settings if each.path == problem.key[:depth]]
            if depth == len(problem.key) and problem.value is not None:
                wrong = [
                    inner
                    for each in found
                    if each.value is not None
                    for text, inner in _strings(each.value)
                    if text == problem.value
                ]
                if wrong:
                    return wrong[0]
            if found:
                return without_quotes(self.text, found[-1].key.span)
        return Span(0, 0)

    @cached_property
    def selectors(self) -> tuple[Selector, ...]:
        """Every place where rules are named."""
        return tuple(self._selectors())

    def _selectors(self) -> Iterator[Selector]:
        for path, key, value in self.settings:
            if len(path) == 2 and path[0] == "severity":
                yield Selector(key.name, without_quotes(self.text, key.span))
            elif value is not None and takes_rules(path):
                yield from (Selector(*each) for each in _strings(value))

    def place_at(self, offset: int) -> Place | None:
        """What is being written at an offset; None in comments, and behind what is complete."""
        table = [each for each in self.tables if each.header.start <= offset][-1]
        path = tuple(key.name for key in table.keys)
        if table.header.start < offset <= table.header.end:
            opening = 2 if table.is_array else 1
            inner = self.text[table.header.start : table.header.end].rstrip("]")[opening:]
            start = table.header.start + opening
            word = Span(start, start + len(inner))
            return Place("header", (), word) if word.start <= offset <= word.end else None
        found = self._in_entries(table.entries, path, offset)
        if found is not None:
            return found
        line = self.lines.line_span(self.lines.position(offset)[0])
        blank = not self.text[slice(*line)].strip()
        inside = any(entry.span.start < offset < entry.span.end for entry in table.entries)
        return Place("key", path, Span(offset, offset)) if blank and not inside else None

    def _in_entries(self, entries: tuple[Entry, ...], above: tuple[str, ...], offset: int) -> Place | None:
        for entry in entries:
            path = above
            for key in entry.keys:
                if key.span.start <= offset <= key.span.end:
                    word = without_quotes(self.text, key.span)
                    return Place("key", path, word, word != key.span, assigned=entry.equals is not None)
                path = (*path, key.name)
            if entry.equals is not None and entry.equals < offset:
                found = self._in_value(entry.value, path, offset)
                if found is not None:
                    return found
        return None

    def _in_value(self, value: Value, path: tuple[str, ...], offset: int) -> Place | None:
        begins, ends = value.span
        if value.kind in ("missing", "other"):
            # Blanks between `=` and what is missing still are.
            near = self.text[min(begins, offset) : max(ends, offset)] if value.kind == "missing" else ""
            inside = begins <= offset <= ends or not near.strip(" \t")
            word = value.span if value.kind == "other" else Span(offset, offset)
            return Place("value", path, word) if inside else None
        if value.kind == "string":
            word = without_quotes(self.text, value.span)
            return Place("value", path, word, quoted=True) if word.start <= offset <= word.end else None
        if not (begins < offset < ends or (not value.closed and ends <= offset and not self.text[ends:offset].strip())):
            return None
        if value.kind == "table":
            return self._in_entries(value.entries, path, offset) or Place("key", path, Span(offset, offset))
        for item in value.items:
            beside = frozenset(other.text for other in value.items if other is not item)
            found = self._in_value(item, path, offset)
            if found is not None:
                return found._replace(beside=beside)
            if item.span.start < offset and "," not in self.text[item.span.end : offset]:
                return None
        return Place("value", path, Span(offset, offset), beside=frozenset(item.text for item in value.items))


def takes_rules(path: tuple[str, ...]) -> bool:
    """Whether the strings at a path, without the prefix, name rules."""
    return path in (("select",), ("ignore",)) or (len(path) == 2 and path[0] == "per-file-ignores")


def without_quotes(text: str, span: Span) -> Span:
    """The inside of a string or quoted key; of anything else, all of it."""
    quote = text[span.start : span.start + 1]
    if span.start == span.end or quote not in ('"', "'"):
        return span
    closed = span.end - span.start > 1 and text[span.end - 1] == quote
    return Span(span.start + 1, span.end - closed)


def _strings(value: Value) -> Iterator[tuple[str, Span]]:
    """The strings of a value, each with its place. Of a string in quotes the inside, of what isn't one, all."""
    if value.kind in ("string", "other"):
        inside = Span(value.span.start + 1, value.span.end - value.closed) if value.kind == "string" else value.span
        yield value.text, inside
    for item in value.items:
        yield from _strings(item)
