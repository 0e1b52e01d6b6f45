"""Reading and writing the user's files: bytes to text by PEP 263 and back, atomically."""

from __future__ import annotations

import codecs
import glob
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LARGEST_FILE = 4 * 1024 * 1024
"""Bytes. Nobody writes such a program by hand; generated ones aren't worth the time."""

LARGEST_NOTEBOOK = 64 * 1024 * 1024
"""Bytes. Pictures in a notebook's outputs add up."""

_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.ASCII)
_BLANK = re.compile(rb"^[ \t\f]*(?:#[^\r\n]*)?$", re.ASCII)


class UnreadableFile(Exception):
    """A file that can't be had as text; the message says why, without the path."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file as text, with what is needed to write it back byte for byte. Newlines are as in the file."""

    text: str
    encoding: str = "utf-8"
    bom: bytes = b""

    def encoded(self, text: str) -> bytes:
        """`text` in this file's encoding. Raises UnreadableFile if the encoding has no such character."""
        try:
            return self.bom + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise UnreadableFile(f"{self.encoding} has no {error.object[error.start]!r}") from None


def decode(data: bytes) -> TextFile:
    """The text of a Python file's bytes: by byte order mark, else by coding comment (PEP 263), else UTF-8.

    Raises UnreadableFile for an unknown encoding or bytes that aren't in it.
    """
    bom = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    body = data[len(bom) :]
    encoding = _declared_encoding(body) or "utf-8"
    try:
        codec = codecs.lookup(encoding)
        text = body.decode(codec.name)
    except LookupError:
        raise UnreadableFile(f"unknown encoding {encoding!r}") from None
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"not {encoding}: byte {error.start} is {body[error.start]:#04x}") from None
    except (UnicodeError, ValueError, TypeError) as error:  # codecs that aren't between text and bytes
        raise UnreadableFile(f"not {encoding}: {error}") from None
    return TextFile(text, codec.name, bom)


def _declared_encoding(body: bytes) -> str | None:
    """The coding comment in the first line, or in the second one if the first is blank or a comment."""
    for line in re.split(rb"\r\n|\r|\n", body[:4096], maxsplit=2)[:2]:
        if match := _CODING.match(line):
            return match[1].decode("ascii", "replace")
        if not _BLANK.match(line):
            return None
    return None


def read_file(path: Path) -> TextFile:
    """A Python file as text. Raises UnreadableFile if it's missing, too large, no file, or not text."""
    return decode(read_bytes(path))


def read_bytes(path: Path, largest: int | None = None) -> bytes:
    """A file's bytes. Raises UnreadableFile if it's missing, too large or no regular file."""
    try:
        if not path.is_file():  # a FIFO would block for ever
            raise UnreadableFile("no such file" if not path.exists() else "not a file")
        largest = LARGEST_FILE if largest is None else largest
        with path.open("rb") as stream:
            data = stream.read(largest + 1)  # what a file of the system says of its size means nothing
    except OSError as error:
        raise UnreadableFile(reason_of(error)) from None
    if len(data) > largest:
        raise UnreadableFile(f"larger than {largest // 1024 // 1024} MiB")
    return data


def reason_of(error: OSError) -> str:
    """What the system says of an error, for people: without its number, and without names of temporary files."""
    return error.strerror or str(error)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file's bytes: readers see the old or the new ones, never a part. Keeps its permissions; a new file gets
    the usual ones.

    A link is followed, not replaced. Raises OSError, and the file is as it was.
    """
    path = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def matching(folder: Path, pattern: str) -> list[Path]:
    """What is in a folder by a pattern of names, in order; nothing where it can't be looked into."""
    # `Path.glob` and `Path.is_file` raise where a name is too long, or a folder is closed to us.
    return [Path(found) for found in sorted(glob.glob(os.path.join(glob.escape(str(folder)), pattern)))]


def normal(path: str | Path) -> Path:
    """An absolute path without `.` and `..`, links not followed: equal for equal spellings."""
    return Path(os.path.abspath(path))


def is_inside(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a path, links followed, lies in one of `folders` (or is one)."""
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)
