"""`pyproject.toml`: found, read, and its `[tool.gradsense]` made a `Configuration`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradsense.config import ConfigProblem, Configuration, RuleName, default_rules, read_configuration
from gradsense.workspace.files import UnreadableFile, read_bytes
from gradsense.workspace.roots import upwards

# By name, since type checkers see one of the two at a time.
tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


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


def find_configuration(folder: Path, root: Path, rules: Sequence[RuleName]) -> ConfigurationFile:
    """The configuration of the files in `folder`: the nearest `pyproject.toml` up to `root` that has one.

    A file that is no TOML is told and gives the defaults: what its author meant by it can't be known.
    """
    for candidate in upwards(folder, root):
        path = candidate / "pyproject.toml"
        if not path.is_file():
            continue
        text = ""
        try:
            text = _text(path)
            table = _tool_table(text)
        except _BrokenFile as error:
            message = f"{path.name} can't be read, so GradSense's defaults apply: {error}"
            problem = ConfigProblem(message, (), str(path))
            return ConfigurationFile(_defaults(rules), candidate, path, (problem,), text)
        if table is None:
            continue
        configuration, problems = read_configuration(table, rules)
        told = tuple(replace(problem, file=str(path)) for problem in problems)
        return ConfigurationFile(configuration, candidate, path, told, text)
    return ConfigurationFile(_defaults(rules), root, None)


def read_toml(path: Path) -> dict[str, Any] | None:
    """A TOML file's content, or None where there is none or it is broken."""
    try:
        return _parse(_text(path))
    except _BrokenFile:
        return None


class _BrokenFile(Exception):
    pass


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8")
    except UnreadableFile as error:
        raise _BrokenFile(str(error)) from None
    except UnicodeDecodeError:
        raise _BrokenFile("it is not UTF-8") from None


def _parse(text: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = tomllib.loads(text)
        return table
    except (ValueError, RecursionError) as error:
        raise _BrokenFile(str(error)) from None


def _tool_table(text: str) -> dict[str, Any] | None:
    tool = _parse(text).get("tool")
    table = tool.get("gradsense") if isinstance(tool, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise _BrokenFile("`tool.gradsense` is not a table")
    return table


def _defaults(rules: Sequence[RuleName]) -> Configuration:
    return Configuration(default=default_rules(rules))
