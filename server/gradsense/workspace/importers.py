"""Which files of a workspace import a given one: there its classes are constructed and called."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from gradsense.workspace.discovery import is_skipped
from gradsense.workspace.files import UnreadableFile, read_bytes, read_file
from gradsense.workspace.import_index import modules_in
from gradsense.workspace.modules import IsFile, resolve_module

_LARGEST_FILE = 512 * 1024
_SURELY_LOOKED_AT = 100
"""Files and folders that are looked at however long that takes."""
_MOST_LOOKED_AT = 4000
_MOST_SECONDS = 0.05
_MOST_FOUND = 40
_KEPT = 8192


class Importers:
    """Looks through the files of a folder, nearest first. What each imports is kept by its time and size.

    One call at a time is at work, from whichever thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._imported: OrderedDict[str, tuple[tuple[int, int], frozenset[str]]] = OrderedDict()

    def of(self, path: str, root: str, overlay: Mapping[str, str]) -> dict[str, str]:
        """The texts of files under `root` that import the file at `path`, by path, nearest first: as many as are found
        within a few hundredths of a second. `overlay` are the texts of open documents. Links aren't followed."""
        with self._lock:
            found: dict[str, str] = {}
            seen = {path: True}  # it may not be saved yet

            def is_file(each: str) -> bool:
                if each not in seen:
                    seen[each] = os.path.isfile(each)
                return seen[each]

            deadline = time.monotonic() + _MOST_SECONDS
            for count, entry in enumerate(_nearest_first(os.path.dirname(path), root, deadline)):
                is_late = count >= _SURELY_LOOKED_AT and time.monotonic() > deadline
                if is_late or count >= _MOST_LOOKED_AT or len(found) >= _MOST_FOUND:
                    break
                if entry.path == path:
                    continue
                text = overlay.get(entry.path)
                modules = self._imported_by(entry) if text is None else modules_in(text.encode("utf-8", "replace"))
                if _leads_to(path, modules, entry.path, root, is_file):
                    if text is None:
                        try:
                            text = read_file(Path(entry.path)).text
                        except UnreadableFile:
                            continue
                    found[entry.path] = text
            return found

    def _imported_by(self, entry: os.DirEntry[str]) -> frozenset[str]:
        """The modules that a file names in its imports; none of one that can't be read."""
        try:
            state = entry.stat()
        except OSError:
            return frozenset()
        key = (state.st_mtime_ns, state.st_size)
        known = self._imported.get(entry.path)
        if known is not None and known[0] == key:
            self._imported.move_to_end(entry.path)
            return known[1]
        try:
            modules = modules_in(read_bytes(Path(entry.path), _LARGEST_FILE))
        except UnreadableFile:
            modules = frozenset()
        self._imported[entry.path] = key, modules
        if len(self._imported) > _KEPT:
            self._imported.popitem(last=False)
        return modules


def _nearest_first(folder: str, root: str, deadline: float) -> Iterator[os.DirEntry[str]]:
    """The Python files under `root`, by the number of steps from `folder` to theirs. After the deadline only those in
    a number of folders: a file in a home folder has everything below it."""
    todo, seen = deque([folder]), {folder}
    looked_at = 0
    while todo:
        looked_at += 1
        if looked_at > _SURELY_LOOKED_AT and time.monotonic() > deadline:
            return
        here = todo.popleft()
        inner: list[str] = []
        try:
            with os.scandir(here) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            listed = []
        for entry in listed:
            if entry.is_dir(follow_symlinks=False):
                if not is_skipped(Path(here), entry.name):
                    inner.append(entry.path)
            elif entry.name.endswith(".py") and entry.is_file(follow_symlinks=False):
                yield entry
        above = [os.path.dirname(here)] if here != root and here.startswith(root.rstrip(os.sep) + os.sep) else []
        for each in [*inner, *above]:
            if each not in seen:
                seen.add(each)
                todo.append(each)


def _leads_to(path: str, modules: frozenset[str], importer: str, root: str, is_file: IsFile) -> bool:
    """Whether one of the modules is the file at `path`, a package around it, or has it as a module."""
    folder, name = os.path.split(path)
    stem = name.removesuffix(".py")
    above = set(folder.split(os.sep)) | {stem, ""}
    for module in modules:
        if module.rpartition(".")[2] not in above:
            continue
        for each in (module, module + stem if module.endswith(".") else f"{module}.{stem}"):
            found = resolve_module(each, importer, root, is_file=is_file, is_installed=lambda top: False)
            if found == path:
                return True
            inside, last = os.path.split(found or "")
            if last == "__init__.py" and path.startswith(inside + os.sep):
                return True
    return False
