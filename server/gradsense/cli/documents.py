"""The files that a command works on: found, read as text, and written back."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from gradsense.cli.exits import CommandError
from gradsense.findings import Edit, Span, apply_edits
from gradsense.source.lines import LineIndex
from gradsense.workspace.discovery import python_files
from gradsense.workspace.files import (
    LARGEST_NOTEBOOK,
    TextFile,
    UnreadableFile,
    decode,
    normal,
    read_bytes,
    reason_of,
    write_atomically,
)
from gradsense.workspace.roots import project_root

STDIN = "-"


class Place(NamedTuple):
    """A range as people and formats count: lines and columns from 1, in code points, the end excluded."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class View:
    """What a reader sees as one text: a file, or a notebook's cell. `start` is its offset in the whole."""

    name: str
    text: str
    start: int = 0
    cell: int | None = None
    """The cell's number, from 1; None in a plain file."""

    @cached_property
    def lines(self) -> LineIndex:
        return LineIndex(self.text)

    def place(self, span: Span) -> Place:
        """A span of the whole as lines and columns here; what leaves the view ends with it."""
        line, column = self.lines.position(span.start - self.start)
        end_line, end_column = self.lines.position(span.end - self.start)
        return Place(line + 1, column + 1, end_line + 1, end_column + 1)

    def location(self, span: Span) -> str:
        """A place as editors and terminals open it on a click."""
        place = self.place(span)
        return f"{plain(self.name)}:{place.line}:{place.column}"


@dataclass(frozen=True)
class Document:
    """A program to check. `name` is what the user calls it; `path` is absolute."""

    name: str
    path: Path
    file: TextFile
    from_stdin: bool = False

    @property
    def text(self) -> str:
        """The program, as the engine reads it."""
        return self.file.text

    @property
    def source(self) -> str:
        """The program, as its author sees it."""
        return self.text

    @property
    def cells(self) -> tuple[int, ...]:
        """Where a notebook's cells begin in the text; empty for a plain file."""
        return ()

    @cached_property
    def _whole(self) -> View:
        return View(self.name, self.source)

    def view(self, offset: int) -> View:
        """What a reader sees around an offset."""
        return self._whole

    def edited(self, edits: Iterable[Edit]) -> Document:
        """The same document after edits of its text. Raises ValueError where they can't be made."""
        return replace(self, file=replace(self.file, text=apply_edits(self.text, edits)))

    def without_text(self) -> Document:
        """The document by its name alone."""
        return Document(self.name, self.path, TextFile(""), self.from_stdin)

    def encoded(self) -> bytes:
        """The bytes of the file. Raises UnreadableFile where they can't be told."""
        return self.file.encoded(self.file.text)

    def write(self) -> None:
        """Put the text into the file. Raises CommandError, and the file is as it was."""
        try:
            data = self.encoded()
            if self.from_stdin:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            else:
                write_atomically(self.path, data)
        except (OSError, UnreadableFile) as error:
            reason = reason_of(error) if isinstance(error, OSError) else error
            raise CommandError(f"{plain(self.name)} can't be written, and is as it was: {reason}") from None


def read_document(path: Path, working_directory: Path) -> Document:
    """A document from a file. Raises UnreadableFile."""
    path = normal(path)
    data = read_bytes(path, LARGEST_NOTEBOOK if path.suffix == ".ipynb" else None)
    return _document(display_name(path, working_directory), path, data)


def read_stdin(name: str | None, working_directory: Path) -> Document:
    """A document from standard input, taken to be the file `name`. Raises UnreadableFile."""
    path = normal(working_directory / (name or "stdin.py"))
    return replace(_document(name or "<stdin>", path, sys.stdin.buffer.read()), from_stdin=True)


def _document(name: str, path: Path, data: bytes) -> Document:
    if path.suffix == ".ipynb":
        from gradsense.cli.notebooks import NotebookDocument

        return NotebookDocument.of(name, path, data)
    return Document(name, path, decode(data))


def display_name(path: Path, working_directory: Path) -> str:
    """A path as a user in the working directory would write it, with forward slashes."""
    inside = path.is_relative_to(working_directory)
    return (path.relative_to(working_directory) if inside else path).as_posix()


_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def plain(name: str) -> str:
    """A name on one line of a terminal: what would break the line, steer the terminal, turn the direction of the text,
    or isn't text at all, is written as in Python."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def find_files(paths: Iterable[str], working_directory: Path, complain: Callable[[str], None]) -> Iterator[Path]:
    """The files that the command's paths mean, each once, folders in the order of their names.

    `complain` gets a message for each path that doesn't exist. A named file is taken whatever its suffix.
    """
    seen: set[Path] = set()
    for name in paths:
        path = normal(working_directory / name)
        if not os.path.exists(path):
            complain(f"{name} doesn't exist. Name files or folders, or - for standard input.")
            continue
        for file in python_files(path, project_root(path, working_directory)) if os.path.isdir(path) else (path,):
            if file not in seen:
                seen.add(file)
                yield file
