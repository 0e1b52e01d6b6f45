"""The programs in a folder, without what nobody wrote there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_SUFFIXES = (".py", ".pyi", ".ipynb")
_SKIPPED = frozenset(
    {
        "__pycache__",
        "__pypackages__",
        "_build",
        "build",
        "dist",
        "node_modules",
        "site-packages",
        "venv",
        "wandb",
    }
)


def python_files(folder: Path, root: Path | None = None) -> Iterator[Path]:
    """The Python files and notebooks under a folder, in order of name.

    Linked folders are left out, and so are links to files outside of `root` (by default `folder`): who opens or checks
    a project means what lies in it. What is no regular file has nothing to read.
    """
    within = os.path.realpath(root or folder).rstrip(os.sep) + os.sep
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_skipped(Path(parent), name))
        for name in sorted(files):
            path = os.path.join(parent, name)
            if not name.endswith(_SUFFIXES) or not os.path.isfile(path):
                continue
            if not os.path.islink(path) or os.path.realpath(path).startswith(within):
                yield Path(path)


def is_program(path: Path, folder: Path) -> bool:
    """Whether `python_files(folder)` would find a file at `path`."""
    if path.suffix not in _SUFFIXES:
        return False
    parents = path.relative_to(folder).parents if path.is_relative_to(folder) else ()
    return not any(is_skipped(folder / parent.parent, parent.name) for parent in parents if parent.name)


def is_skipped(parent: Path, name: str) -> bool:
    """Hidden folders, what tools generate, and environments under whatever name."""
    return (
        name.startswith(".")
        or name in _SKIPPED
        or name.endswith(".egg-info")
        or os.path.exists(parent / name / "pyvenv.cfg")
        or os.path.isdir(parent / name / "conda-meta")
    )
