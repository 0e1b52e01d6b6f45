"""The texts that a storm begins with: the repository's own programs, and public files where they are laid out."""

from __future__ import annotations

import functools
import tokenize
from pathlib import Path

from gradsense.rules.registry import all_rules
from gradsense.workspace.discovery import python_files

_ROOT = Path(__file__).parents[2]
_OWN = ("examples", "tests/recall/programs", "tests/mutants/hosts", "tests/probe/zoo")
_LARGEST = 200_000


@functools.cache
def examples() -> tuple[str, ...]:
    """The examples of all rules, in order."""
    return tuple(example.program for rule in all_rules() for example in rule.examples)


@functools.cache
def own_files() -> tuple[Path, ...]:
    """The programs that lie in the repository, in order of name."""
    return tuple(path for folder in _OWN for path in sorted((_ROOT / folder).rglob("*.py")))


@functools.cache
def public_files(laid_out: Path) -> tuple[Path, ...]:
    """The Python files of public repositories, in order of name."""
    return tuple(path for path in python_files(laid_out) if path.suffix == ".py" and path.stat().st_size <= _LARGEST)


def files(laid_out: Path | None) -> tuple[Path, ...]:
    """The public files where there are any, else the repository's own."""
    return own_files() if laid_out is None else public_files(laid_out)


@functools.lru_cache(512)
def read(path: Path) -> str:
    """A file's text, with its own newlines; empty where it is none."""
    try:
        with tokenize.open(path) as file:
            encoding = file.encoding
        return path.read_bytes().decode(encoding)
    except (SyntaxError, ValueError, LookupError):
        return ""


@functools.cache
def training_files(laid_out: Path | None) -> tuple[Path, ...]:
    """Those that train something with torch, by their words alone."""
    return tuple(
        path
        for path in files(laid_out)
        if "import torch" in (text := read(path)) and ".backward(" in text and ".step(" in text
    )
