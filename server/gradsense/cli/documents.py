"""The files that a command works on: found, read as text, and written back."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gradsense.cli.exits import CommandError
from gradsense.source.lines import LineIndex
from gradsense.workspace.discovery import python_files
from gradsense.workspace.files import TextFile, UnreadableFile, decode, normal, read_file, write_atomically

STDIN = "-"


@dataclass(frozen=True)
class Document:
    """A text to check. `name` is what the user calls it; `path` is absolute."""

    name: str
    path: Path
    file: TextFile
    from_stdin: bool = False

    @property
    def text(self) -> str:
        return self.file.text

    @property
    def cells(self) -> tuple[int, ...]:
        """Where a notebook's cells begin."""
        return ()

    @cached_property
    def lines(self) -> LineIndex:
        return LineIndex(self.text)

    def location(self, offset: int) -> str:
        """A place as editors and terminals open it on a click."""
        line, column = self.lines.position(offset)
        return f"{self.name}:{line + 1}:{column + 1}"

    def cell_of(self, offset: int) -> int | None:
        """The number of the notebook cell, from 1, that a place lies in; None in a plain file."""
        return bisect_right(self.cells, offset) or None

    def changed(self, text: str) -> Document:
        """The same document with another text."""
        file = TextFile(text, self.file.encoding, self.file.bom)
        return Document(self.name, self.path, file, self.from_stdin)

    def write(self) -> None:
        """Put the text into the file. Raises CommandError, and the file is as it was."""
        try:
            data = self.file.encoded(self.text)
            if self.from_stdin:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            else:
                write_atomically(self.path, data)
        except (OSError, UnreadableFile) as error:
            raise CommandError(f"{self.name} can't be written, and is as it was: {error}") from None


def read_document(path: Path, working_directory: Path) -> Document:
    """A document from a file. Raises UnreadableFile."""
    path = normal(path)
    return Document(display_name(path, working_directory), path, read_file(path))


def read_stdin(name: str | None, working_directory: Path) -> Document:
    """A document from standard input, taken to be the file `name`. Raises UnreadableFile."""
    path = normal(working_directory / (name or "stdin.py"))
    return Document(name or "<stdin>", path, decode(sys.stdin.buffer.read()), from_stdin=True)


def display_name(path: Path, working_directory: Path) -> str:
    """A path as a user in the working directory would write it, with forward slashes."""
    inside = path.is_relative_to(working_directory)
    return (path.relative_to(working_directory) if inside else path).as_posix()


def find_files(paths: Iterable[str], working_directory: Path) -> Iterator[Path]:
    """The files that the command's paths mean, each once, folders in the order of their names.

    Raises CommandError for a path that doesn't exist. A file that is named is taken whatever its suffix.
    """
    seen: set[Path] = set()
    for name in paths:
        path = normal(working_directory / name)
        if not path.exists():
            raise CommandError(f"{name} doesn't exist. Name files or folders, or - for standard input.")
        for file in python_files(path) if path.is_dir() else (path,):
            if file not in seen:
                seen.add(file)
                yield file
