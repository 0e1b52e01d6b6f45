"""The texts of the user's files: the unsaved one where a document is open, else the file's."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from gradsense.workspace.files import UnreadableFile, read_file

_KEPT = 2048


class Sources:
    """Reads files under given folders only, links followed; keeps texts by the file's identity and time."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[str, int, int, int], str | None] = OrderedDict()

    def has(self, path: str, overlay: Mapping[str, str], real_roots: tuple[str, ...]) -> bool:
        """Whether there is such a file, saved or not, under one of the roots (real paths)."""
        return path in overlay or (os.path.isfile(path) and _is_ours(path, real_roots))

    def text(self, path: str, overlay: Mapping[str, str], real_roots: tuple[str, ...]) -> str | None:
        """A file's text, or None if it can't be had."""
        if path in overlay:
            return overlay[path]
        if not _is_ours(path, real_roots):
            return None
        try:
            state = os.stat(path)
        except OSError:
            return None
        key = (path, state.st_mtime_ns, state.st_size, state.st_ino)
        if key in self._texts:
            self._texts.move_to_end(key)
            return self._texts[key]
        try:
            text: str | None = read_file(Path(path)).text
        except UnreadableFile:
            text = None
        self._texts[key] = text
        if len(self._texts) > _KEPT:
            self._texts.popitem(last=False)
        return text


def _is_ours(path: str, real_roots: tuple[str, ...]) -> bool:
    """Whether a path, links followed, lies in one of the roots."""
    real = os.path.realpath(path)
    return any(real.startswith(root.rstrip(os.sep) + os.sep) for root in real_roots)
