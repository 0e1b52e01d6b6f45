"""Which of the user's files lead to a given one by their imports, told from an index of all imports below a folder."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gradsense.workspace.discovery import is_skipped
from gradsense.workspace.files import UnreadableFile, read_bytes

_IMPORT = re.compile(rb"(?:^|;)[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import\b|import[ \t]+([\w., \t]+))", re.MULTILINE)
_LARGEST_FILE = 512 * 1024
_MOST_FILES = 4_000
_MOST_FOLDERS = 4_000
"""Files of a folder that are read, and folders in it that are looked into."""
_MOST_ROOTS = 8
_MOST_LAYERS = 4
"""Imports between a file and one that counts as leading to it."""
_MOST_FOUND = 16
_MOST_TOLD = 1024
"""Files of which it is kept what leads to them: who types asks at each key."""

Resolve = Callable[[str, str], "str | None"]
"""From a module's name, as spelt in an import, and the path of the importing file to the path of the user's file that
is meant, if there is one."""


class _Read(NamedTuple):
    """A file's time and size, and the modules that it imports."""

    state: tuple[int, int]
    modules: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Folder:
    """What the files below a folder import, and the files by the last name of a module that they import."""

    read: Mapping[str, _Read]
    by_last_name: Mapping[str, tuple[str, ...]]


class _Typed(NamedTuple):
    """The text of an open document, and the modules that it imports."""

    text: str
    modules: frozenset[str]


class _Told(NamedTuple):
    """What was told of a file, and what that rests on: whether there is a file is read with its folder, too."""

    folder: _Folder
    typed: Mapping[str, frozenset[str]]
    answer: tuple[str, ...]


class ImportIndex:
    """Reads the files around those that are asked about once, and again what has changed since: of a root that has too
    many of them, the largest folder on the way to the file that has not.

    `look` may run in any thread, one at a time; what it has found is taken as a whole.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folders: dict[str, _Folder] = {}
        self._too_large: set[str] = set()
        self._typed: dict[str, _Typed] = {}
        self._told: dict[str, _Told] = {}

    def knows(self, path: str, root: str) -> bool:
        """Whether the surroundings of a file below `root` have been looked at."""
        return self._around(path, root) in self._folders

    def look(self, path: str, root: str) -> None:
        """Read what the files around one below `root` import."""
        with self._lock:
            while (folder := self._around(path, root)) not in self._folders:
                self._take_up(folder, is_last=folder == os.path.dirname(path))

    def look_again(self) -> bool:
        """Read again what has changed in all folders that were looked at; whether anything has."""
        with self._lock:
            changed = False
            for folder, before in list(self._folders.items()):
                self._take_up(folder, is_last=False)
                now = self._folders.get(folder)
                changed = changed or now is None or _modules_by_path(before) != _modules_by_path(now)
            return changed

    def _around(self, path: str, root: str) -> str:
        """The largest folder between `root` and a file that has not too many files."""
        folder = os.path.dirname(path)
        below = os.path.relpath(folder, root).split(os.sep) if folder != root else []
        around = root
        for name in below:
            if around not in self._too_large:
                break
            around = os.path.join(around, name)
        return around

    def _take_up(self, folder: str, *, is_last: bool) -> None:
        before = self._folders.pop(folder, None)
        known = before.read if before is not None else {}
        files, are_all = _files_below(folder)
        if not are_all and not is_last:
            self._too_large.add(folder)
            return
        read = {path: _read(path, state, known.get(path)) for path, state in files.items()}
        by_last_name: dict[str, list[str]] = {}
        for path, (_, modules) in read.items():
            for last in {module.rpartition(".")[2] for module in modules}:
                by_last_name.setdefault(last, []).append(path)
        self._folders[folder] = _Folder(read, {name: tuple(paths) for name, paths in by_last_name.items()})
        if len(self._folders) > _MOST_ROOTS:
            del self._folders[next(iter(self._folders))]

    def forget_answers(self) -> None:
        """What a module's name means may be something else now."""
        self._told.clear()

    def leading_to(self, path: str, root: str, overlay: Mapping[str, str], resolve: Resolve) -> tuple[str, ...]:
        """The files below `root` that import the one at `path`, around which was looked, or import one that does: the
        fewest imports first, then the nearest folder. `overlay` are the texts of open documents.

        Tests are left out: they use functions as nobody trains with them.
        """
        folder = self._folders[self._around(path, root)]
        typed = self._of_documents(root, overlay)
        told = self._told.get(path)
        if told is None or told.folder is not folder or told.typed != typed:
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            told = self._told[path] = _Told(folder, typed, self._found(path, root, folder, typed, resolve))
        return told.answer

    @staticmethod
    def _found(
        path: str, root: str, folder: _Folder, typed: Mapping[str, frozenset[str]], resolve: Resolve
    ) -> tuple[str, ...]:
        found: list[str] = []
        seen, layer = {path}, [path]
        for _ in range(_MOST_LAYERS):
            direct = {each for inner in layer for each in _importers(inner, folder, typed, resolve)} - seen
            layer = sorted((each for each in direct if not _is_test(each, root)), key=lambda each: _way(path, each))
            found += layer
            if not layer or len(found) >= _MOST_FOUND:
                break
            seen |= direct
        return tuple(found[:_MOST_FOUND])

    def _of_documents(self, root: str, overlay: Mapping[str, str]) -> dict[str, frozenset[str]]:
        """What each of the open documents below `root` imports."""
        below = root.rstrip(os.sep) + os.sep
        texts = {path: text for path, text in overlay.items() if path.endswith(".py") and path.startswith(below)}
        before, self._typed = self._typed, {}
        for path, text in texts.items():
            known = before.get(path)
            if known is None or known.text != text:
                known = _Typed(text, modules_in(text.encode("utf-8", "replace")))
            self._typed[path] = known
        return {path: typed.modules for path, typed in self._typed.items()}


def _read(path: str, state: tuple[int, int], before: _Read | None) -> _Read:
    """What a file imports, read unless it is as it was; nothing where it can't be read."""
    if before is not None and before.state == state:
        return before
    try:
        return _Read(state, modules_in(read_bytes(Path(path), _LARGEST_FILE)))
    except UnreadableFile:
        return _Read(state, frozenset())


def _modules_by_path(folder: _Folder) -> dict[str, frozenset[str]]:
    return {path: read.modules for path, read in folder.read.items()}


def modules_in(data: bytes) -> frozenset[str]:
    """The modules that a program's imports name, with the dots of relative ones."""
    found: set[str] = set()
    for one, several in _IMPORT.findall(data):
        for each in (one,) if one else several.split(b","):
            words = each.split()
            if words:
                found.add(words[0].decode("utf-8", "replace"))
    return frozenset(found)


def _importers(path: str, folder: _Folder, typed: Mapping[str, frozenset[str]], resolve: Resolve) -> Iterator[str]:
    """The files with an import of the one at `path`, in which case its name is a module's last one, or of the package
    that it lies in, which may then be asked for it.
    """
    inside, name = os.path.split(path)
    stem = name.removesuffix(".py")
    names = {os.path.basename(inside), ""} if stem == "__init__" else {stem, os.path.basename(inside), ""}
    saved = {each for last in names for each in folder.by_last_name.get(last, ())} - typed.keys()
    for importer in (*sorted(saved), *typed):
        if importer == path:
            continue
        for module in typed[importer] if importer in typed else folder.read[importer].modules:
            if module.rpartition(".")[2] not in names:
                continue
            within = f"{module}{'' if module.endswith('.') else '.'}{stem}"
            if resolve(module, importer) == path or (stem != "__init__" and resolve(within, importer) == path):
                yield importer
                break


def _files_below(folder: str) -> tuple[dict[str, tuple[int, int]], bool]:
    """The Python files below a folder with their times and sizes, the shallowest first, then by name; and whether these
    are all: there may be too many of them, or of folders.
    """
    found: dict[str, tuple[int, int]] = {}
    layer, folders = [folder], 0
    while layer:
        inner: list[str] = []
        for here in layer:
            try:
                with os.scandir(here) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in listed:
                if entry.is_dir(follow_symlinks=False):
                    if not is_skipped(Path(here), entry.name):
                        inner.append(entry.path)
                elif entry.name.endswith(".py") and entry.is_file(follow_symlinks=False):
                    if len(found) == _MOST_FILES:
                        return found, False
                    with contextlib.suppress(OSError):
                        state = entry.stat()
                        found[entry.path] = state.st_mtime_ns, state.st_size
        folders += len(inner)
        if folders > _MOST_FOLDERS:
            return found, False
        layer = inner
    return found, True


def _is_test(path: str, root: str) -> bool:
    parts = os.path.relpath(path, root).replace("\\", "/").lower().split("/")
    name = parts[-1]
    in_tests = not {"test", "tests", "testing"}.isdisjoint(parts[:-1])
    return in_tests or name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"


def _way(path: str, other: str) -> tuple[int, str]:
    """By how many folders one gets from a file to another."""
    way = os.path.relpath(os.path.dirname(other), os.path.dirname(path))
    return 0 if way == "." else way.replace("\\", "/").count("/") + 1, other
