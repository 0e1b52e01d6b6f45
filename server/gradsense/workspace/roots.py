"""Which folder a path belongs to: the project that a file outside any open folder is part of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gradsense.workspace.files import normal

_MARKS = ("pyproject.toml", ".git", "setup.cfg", "setup.py", "requirements.txt", ".hg")


def project_root(path: Path, working_directory: Path) -> Path:
    """The nearest folder above `path` that looks like a project's; else the working directory, if the path lies
    in it; else the path's own folder."""
    path = normal(path)
    folder = path if path.is_dir() else path.parent
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in _MARKS):
            return candidate
    working_directory = normal(working_directory)
    return working_directory if folder.is_relative_to(working_directory) else folder


def innermost(path: Path, roots: Iterable[Path]) -> Path | None:
    """The root that a path belongs to."""
    holding = [root for root in roots if path.is_relative_to(root)]
    return max(holding, key=lambda root: len(root.parts), default=None)
