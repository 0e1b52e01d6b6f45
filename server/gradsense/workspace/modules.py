"""From a module's name, as written in an import, to the user's file that it means.

Asked for every import at every keystroke, so paths are plain strings here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence

SOURCE_FOLDERS = ("src", "lib", "python")
"""Where projects keep their packages, under the root."""

IsFile = Callable[[str], bool]


def resolve_module(
    module: str,
    importer: str,
    root: str,
    *,
    is_file: IsFile,
    is_installed: Callable[[str], bool],
    extra: Sequence[str] = (),
) -> str | None:
    """The path of what `importer` gets when it imports `module`, if it's a file under `root` or `extra`.

    All paths are absolute and normal. `module` has leading dots for relative imports. `is_installed` tells
    whether a top-level package is in the environment: it goes before a folder without `__init__.py` of the
    same name, as it does for Python. `extra` are further folders with packages (from editable installs).
    """
    level = len(module) - len(module.lstrip("."))
    parts = [part for part in module[level:].split(".") if part]
    if level:
        folder = os.path.dirname(importer)
        for _ in range(level - 1):
            folder = os.path.dirname(folder)
        return _file_in(folder, parts, is_file) if _is_under(folder, root) else None
    if not parts:
        return None
    for folder in _search_path(parts[0], importer, root, extra, is_file):
        found = _file_in(folder, parts, is_file)
        if found is not None and (_is_regular(folder, parts[0], is_file) or not is_installed(parts[0])):
            return found
    return None


def _search_path(top: str, importer: str, root: str, extra: Sequence[str], is_file: IsFile) -> Iterator[str]:
    """Where an absolute import looks, in the order in which a run of the importer or its project would."""
    own = os.path.dirname(importer)
    in_package = is_file(os.path.join(own, "__init__.py"))
    if not in_package:
        yield own  # a script's own folder goes even before the standard library
    if top in sys.stdlib_module_names:
        return
    folder = own
    while folder != root and _is_under(folder, root) and is_file(os.path.join(folder, "__init__.py")):
        folder = os.path.dirname(folder)
    # From the folder that holds the importer's package up to the root, with the usual source folders at each.
    while _is_under(folder, root):
        yield folder
        yield from (os.path.join(folder, name) for name in SOURCE_FOLDERS)
        if folder == root:
            break
        folder = os.path.dirname(folder)
    yield from extra
    if in_package:
        yield own  # run as a script in its package's folder after all


def _file_in(folder: str, parts: Sequence[str], is_file: IsFile) -> str | None:
    place = os.path.join(folder, *parts)
    package = os.path.join(place, "__init__.py")
    if is_file(package):
        return package
    file = f"{place}.py"
    return file if parts and is_file(file) else None


def _is_regular(folder: str, top: str, is_file: IsFile) -> bool:
    """Whether a top-level name is a module or a package of its own, not a namespace folder."""
    place = os.path.join(folder, top)
    return is_file(os.path.join(place, "__init__.py")) or is_file(f"{place}.py")


def _is_under(folder: str, root: str) -> bool:
    return folder == root or folder.startswith(root.rstrip(os.sep) + os.sep)
