"""From a module's name, as written in an import, to the user's file that it means."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

SOURCE_FOLDERS = ("src", "lib", "python")
"""Where projects keep their packages, under the root."""


def resolve_module(
    module: str,
    importer: Path,
    root: Path,
    *,
    is_file: Callable[[Path], bool],
    is_installed: Callable[[str], bool],
    extra: Sequence[Path] = (),
) -> Path | None:
    """The file that `importer` gets when it imports `module`, if it's one under `root`.

    `module` has leading dots for relative imports. `is_installed` tells whether a top-level package is in the
    environment: it goes before a folder without `__init__.py` of the same name, as it does for Python.
    `extra` are further folders that hold packages (from editable installs).
    """
    level = len(module) - len(module.lstrip("."))
    parts = [part for part in module[level:].split(".") if part]
    if level:
        folder = importer.parent
        for _ in range(level - 1):
            folder = folder.parent
        return _file_in(folder, parts, is_file) if folder.is_relative_to(root) else None
    if not parts:
        return None
    for folder in _search_path(parts[0], importer, root, extra, is_file):
        found = _file_in(folder, parts, is_file)
        if found is None:
            continue
        if _is_regular(folder, parts[0], is_file) or not is_installed(parts[0]):
            return found
    return None


def _search_path(
    top: str, importer: Path, root: Path, extra: Sequence[Path], is_file: Callable[[Path], bool]
) -> Iterator[Path]:
    """Where an absolute import looks, in the order in which a run of the importer or its project would."""
    in_package = is_file(importer.parent / "__init__.py")
    own = importer.parent
    standard = top in sys.stdlib_module_names
    if not in_package:
        yield own  # a script's own folder goes even before the standard library
    if standard:
        return
    folder = own
    while folder != root and folder.is_relative_to(root) and is_file(folder / "__init__.py"):
        folder = folder.parent
    # From the folder that holds the importer's package up to the root, with the usual source folders at each.
    while folder.is_relative_to(root):
        yield folder
        yield from (folder / name for name in SOURCE_FOLDERS)
        if folder == root or folder == folder.parent:
            break
        folder = folder.parent
    yield from extra
    if in_package:
        yield own  # run as a script in its package's folder after all


def _file_in(folder: Path, parts: Sequence[str], is_file: Callable[[Path], bool]) -> Path | None:
    place = folder.joinpath(*parts)
    package = place / "__init__.py"
    if is_file(package):
        return package
    file = place.with_name(place.name + ".py") if parts else None
    return file if file is not None and is_file(file) else None


def _is_regular(folder: Path, top: str, is_file: Callable[[Path], bool]) -> bool:
    """Whether a top-level name is a module or a package of its own, not a namespace folder."""
    return is_file(folder / f"{top}.py") or is_file(folder / top / "__init__.py")
