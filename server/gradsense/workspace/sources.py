"""The texts of the user's files: the unsaved one where a document is open, else the file's."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from gradsense.source.notebook import Notebook, NotebookError, read_notebook
from gradsense.workspace.files import LARGEST_NOTEBOOK, UnreadableFile, decode, read_bytes, read_file

_KEPT = 2048

T = TypeVar("T")
_Key = tuple[str, int, int, int]
"""A file's path, time, size and number."""


class Sources:
    """Reads files under given folders only, links followed; keeps texts by the file's identity and time."""

    def __init__(self) -> None:
        self._texts: OrderedDict[_Key, str | None] = OrderedDict()
        self._notebooks: OrderedDict[_Key, Notebook | None] = OrderedDict()

    def has(self, path: str, overlay: Mapping[str, str], real_roots: tuple[str, ...]) -> bool:
        """Whether there is such a file, saved or not, under one of the roots (real paths)."""
        return path in overlay or (os.path.isfile(path) and _is_ours(path, real_roots))

    def text(self, path: str, overlay: Mapping[str, str], real_roots: tuple[str, ...]) -> str | None:
        """A file's text, or None if it can't be had."""
        if path in overlay:
            return overlay[path]
        return _kept(self._texts, path, real_roots, lambda file: read_file(file).text)

    def notebook(self, path: str, real_roots: tuple[str, ...]) -> Notebook | None:
        """The cells of a notebook's file, or None if they can't be had."""
        return _kept(self._notebooks, path, real_roots, _read_notebook)


def _kept(
    kept: OrderedDict[_Key, T | None], path: str, real_roots: tuple[str, ...], read: Callable[[Path], T]
) -> T | None:
    """What `read` makes of a file, unless that is known."""
    if not _is_ours(path, real_roots):
        return None
    try:
        state = os.stat(path)
    except OSError:
        return None
    key = (path, state.st_mtime_ns, state.st_size, state.st_ino)
    if key in kept:
        kept.move_to_end(key)
        return kept[key]
    try:
        kept[key] = read(Path(path))
    except (UnreadableFile, NotebookError):
        kept[key] = None
    if len(kept) > _KEPT:
        kept.popitem(last=False)
    return kept[key]


def _read_notebook(file: Path) -> Notebook:
    return read_notebook(decode(read_bytes(file, LARGEST_NOTEBOOK)).text)


def _is_ours(path: str, real_roots: tuple[str, ...]) -> bool:
    """Whether a path, links followed, lies in one of the roots."""
    real = os.path.realpath(path)
    return any(real.startswith(root.rstrip(os.sep) + os.sep) for root in real_roots)
