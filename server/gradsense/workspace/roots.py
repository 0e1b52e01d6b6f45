"""Which folder a path belongs to: the project that a file outside any open folder is part of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from gradsense.workspace.files import normal

_REPOSITORY = (".git", ".hg", ".jj")
_PROJECT = ("pyproject.toml", "gradsense.toml", "setup.cfg", "setup.py", "requirements.txt", "environment.yml")


def project_root(path: Path, working_directory: Path) -> Path:
    """The repository that a path lies in; else the nearest folder above it that looks like a project's.

    Without either: the working directory, if the path lies in it; else the path's own folder.
    """
    path = normal(path)
    folder = path if os.path.isdir(path) else path.parent
    above = (folder, *folder.parents)
    for marks in (_REPOSITORY, _PROJECT):
        for candidate in above:
            if any(os.path.exists(candidate / mark) for mark in marks):
                return candidate
    working_directory = normal(working_directory)
    return working_directory if folder.is_relative_to(working_directory) else folder


def innermost(path: Path, roots: Iterable[Path]) -> Path | None:
    """The root that a path belongs to."""
    holding = [root for root in roots if path.is_relative_to(root)]
    return max(holding, key=lambda root: len(root.parts), default=None)


def upwards(folder: Path, root: Path) -> Iterator[Path]:
    """`folder` and the folders above it, up to `root`; nothing if it doesn't lie in there."""
    if not folder.is_relative_to(root):
        return
    yield folder
    while folder != root:
        folder = folder.parent
        yield folder
