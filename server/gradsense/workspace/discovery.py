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


def python_files(folder: Path) -> Iterator[Path]:
    """The Python files and notebooks under a folder, in order of name; linked folders are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_skipped(Path(parent), name))
        yield from (Path(parent, name) for name in sorted(files) if name.endswith(_SUFFIXES))


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
        or (parent / name / "pyvenv.cfg").exists()
        or (parent / name / "conda-meta").is_dir()
    )
