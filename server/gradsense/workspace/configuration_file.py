"""`pyproject.toml` and `gradsense.toml`: found, read, and made a `Configuration`."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from gradsense.config import FILES, ConfigProblem, Configuration, RuleName, default_rules, read_configuration
from gradsense.workspace.files import UnreadableFile, read_bytes
from gradsense.workspace.roots import upwards

# By name, since type checkers see one of the two at a time.
tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


LARGEST_CONFIGURATION = 1024 * 1024
"""Bytes of a configuration file. Nobody writes such a one by hand."""


class Broken(NamedTuple):
    """Why a file is no TOML, and at which line and column (from 0)."""

    reason: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """A configuration, the folder that its patterns start from, and what is wrong with it."""

    configuration: Configuration
    folder: Path
    path: Path | None
    """None: no file says anything, so these are the defaults."""
    problems: tuple[ConfigProblem, ...] = ()
    text: str = ""
    """The file, for who wants to show where the problems are."""
    broken: Broken | None = None
    """Why the file can't be read; None for one that is."""


_NO_TEXTS: Mapping[Path, str] = MappingProxyType({})


def find_configuration(
    folder: Path, root: Path, rules: Sequence[RuleName], texts: Mapping[Path, str] = _NO_TEXTS
) -> ConfigurationFile:
    """The configuration of the files in `folder`: that of the nearest file up to `root` which has one.

    `texts` are taken for what is in some files. A file that is no TOML is told and gives the defaults: what its
    author meant by it can't be known.
    """
    for candidate in upwards(folder, root):
        for path in (candidate / name for name in FILES):
            text = texts.get(path)
            if text is None:
                if not os.path.isfile(path):
                    continue
                try:
                    text = _text(path, LARGEST_CONFIGURATION)
                except _BrokenFile as error:
                    return _broken(path, "", error, rules)
            found = read_configuration_text(path, text, rules)
            if found is not None:
                return found
    return ConfigurationFile(_defaults(rules), root, None)


def read_configuration_text(path: Path, text: str, rules: Sequence[RuleName]) -> ConfigurationFile | None:
    """The configuration that a file with this text would be; None if it says nothing of GradSense."""
    try:
        table = _own_table(path.name, text)
    except _BrokenFile as error:
        return _broken(path, text, error, rules)
    if table is None:
        return None
    configuration, problems = read_configuration(table, rules)
    told = tuple(replace(problem, file=str(path)) for problem in problems)
    return ConfigurationFile(configuration, path.parent, path, told, text)


def _broken(path: Path, text: str, error: _BrokenFile, rules: Sequence[RuleName]) -> ConfigurationFile:
    message = f"{path.name} can't be read, so GradSense's defaults apply: {error}"
    problem = ConfigProblem(message, (), str(path))
    return ConfigurationFile(
        _defaults(rules), path.parent, path, (problem,), text, broken=Broken(str(error), *error.at)
    )


def text_of(path: Path) -> str | None:
    """What is in a configuration file, or None where there is none that can be read."""
    try:
        return _text(path, LARGEST_CONFIGURATION)
    except _BrokenFile:
        return None


def read_toml(path: Path) -> dict[str, Any] | None:
    """A TOML file's content, or None where there is none or it is broken."""
    try:
        return _parse(_text(path))
    except _BrokenFile:
        return None


class _BrokenFile(Exception):
    """`at` is the line and column (from 0) of what is wrong."""

    def __init__(self, message: str, at: tuple[int, int] = (0, 0)) -> None:
        super().__init__(message)
        self.at = at


_AT = re.compile(r"\(at line (\d+), column (\d+)\)")


def _text(path: Path, largest: int | None = None) -> str:
    try:
        return read_bytes(path, largest).decode("utf-8")
    except UnreadableFile as error:
        raise _BrokenFile(str(error)) from None
    except UnicodeDecodeError:
        raise _BrokenFile("it is not UTF-8") from None


def _parse(text: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = tomllib.loads(text)
        return table
    except (ValueError, RecursionError) as error:
        at = _AT.search(str(error))
        # Without a place, it is the end that something is missing at.
        where = (int(at[1]) - 1, int(at[2]) - 1) if at else (text.rstrip().count("\n"), 0)
        raise _BrokenFile(str(error), where) from None


def _own_table(name: str, text: str) -> dict[str, Any] | None:
    table: Any = _parse(text)
    for key in FILES.get(name, ()):
        table = table.get(key) if isinstance(table, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise _BrokenFile("`tool.gradsense` is not a table")
    return table


def _defaults(rules: Sequence[RuleName]) -> Configuration:
    return Configuration(default=default_rules(rules))
