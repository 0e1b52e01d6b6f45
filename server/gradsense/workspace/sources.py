"""The texts of the user's files: the unsaved one where a document is open, else the file's."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradsense.workspace.files import UnreadableFile, is_inside, read_file

_KEPT = 2048


class Sources:
    """Reads files under the roots only, links followed; keeps texts by the file's identity and time."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(roots)
        self._texts: OrderedDict[tuple[Path, int, int, int], str | None] = OrderedDict()

    def has(self, path: Path, overlay: Mapping[str, str], root: Path) -> bool:
        """Whether there is such a file, saved or not, under the roots or `root`."""
        return str(path) in overlay or (os.path.isfile(path) and is_inside(path, (*self._roots, root)))

    def text(self, path: Path, overlay: Mapping[str, str], root: Path) -> str | None:
        """A file's text, or None if it can't be had."""
        if str(path) in overlay:
            return overlay[str(path)]
        if not is_inside(path, (*self._roots, root)):
            return None
        try:
            state = path.stat()
        except OSError:
            return None
        key = (path, state.st_mtime_ns, state.st_size, state.st_ino)
        if key in self._texts:
            self._texts.move_to_end(key)
            return self._texts[key]
        try:
            text: str | None = read_file(path).text
        except UnreadableFile:
            text = None
        self._texts[key] = text
        if len(self._texts) > _KEPT:
            self._texts.popitem(last=False)
        return text
