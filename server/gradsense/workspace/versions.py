"""The version of a distribution that a project runs with: as configured, as pinned, as installed."""

from __future__ import annotations

import ast
import configparser
import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from gradsense.config import Settings
from gradsense.source.bounds import is_bounded
from gradsense.source.parse import read_syntax
from gradsense.workspace.configuration_file import read_toml
from gradsense.workspace.environments import Environment, canonical_name
from gradsense.workspace.files import UnreadableFile, matching, read_file

_LIGHTNING = ("lightning", "pytorch-lightning")
"""Two distributions of one code base, with the same version numbers."""

_LIGHTNING_RELEASES = tuple(
    Version(text)
    for text in (
        *(
            "0.9.0",
            "0.10.0",
            "1.0.8",
            "1.1.8",
            "1.2.10",
            "1.3.8",
            "1.4.9",
            "1.5.10",
            "1.6.5",
            "1.7.7",
            "1.8.6",
        ),
        *("1.9.5", "2.0.9", "2.1.4", "2.2.5", "2.3.3", "2.4.0", "2.5.6", "2.6.6"),
    )
)
"""The last release of each series: what `lightning<2` lets in where nothing is installed."""


def installed_version(
    distribution: str, settings: Settings, folders: Sequence[Path], environments: Sequence[Environment]
) -> str | None:
    """A PEP 440 version, or None if nothing tells.

    From the first of: configuration (Lightning's), pins and lock files in `folders` (the nearest
    first), the first environment that has it within the project's requirements, an upper bound among these.
    """
    name = canonical_name(distribution)
    names = (name, *(other for other in _LIGHTNING if other != name)) if name in _LIGHTNING else (name,)
    if name in _LIGHTNING and settings.lightning_version:
        return settings.lightning_version
    requirements = [requirement for folder in folders for requirement in _requirements(folder, names)]
    for requirement in requirements:
        if pinned := _pinned(requirement):
            return pinned
    for folder in folders:
        for candidate in names:
            if locked := _locked(folder, candidate):
                return locked
    for environment in environments:
        for candidate in names:
            version = environment.version_of(candidate)
            # An environment that breaks the project's own bounds is not the one that the project runs in.
            if version and _is_version(version) and all(each.contains(version, True) for each in requirements):
                return version
    return _newest_allowed(requirements) if name in _LIGHTNING else None


def _pinned(requirement: SpecifierSet) -> str | None:
    for specifier in requirement:
        if specifier.operator in ("==", "===") and _is_version(specifier.version.removesuffix(".*")):
            return specifier.version.removesuffix(".*")
    return None


def _newest_allowed(requirements: Sequence[SpecifierSet]) -> str | None:
    """The newest Lightning that the requirements let in, if they bound it from above."""
    for requirement in requirements:
        if not any(specifier.operator in ("<", "<=", "~=") for specifier in requirement):
            continue
        allowed = [version for version in _LIGHTNING_RELEASES if requirement.contains(version)]
        if allowed:
            return str(max(allowed))
    return None


def _requirements(folder: Path, names: Sequence[str]) -> Iterator[SpecifierSet]:
    """What a project's files demand of a distribution."""
    for line in _requirement_lines(folder):
        try:
            requirement = Requirement(line)
        except (ValueError, RecursionError):  # of old versions of `packaging`, and of numbers with 5,000 digits
            continue
        if canonical_name(requirement.name) in names:
            yield requirement.specifier


def _requirement_lines(folder: Path) -> Iterator[str]:
    for path in (*matching(folder, "requirements*.txt"), *matching(folder, "requirements/*.txt")):
        try:
            text = read_file(path).text
        except UnreadableFile:
            continue
        for line in re.sub(r"\\\r?\n", " ", text).splitlines():
            yield _without_comment(line)
    yield from _conda_lines(folder)
    yield from map(_without_comment, _setup_lines(folder))
    project = read_toml(folder / "pyproject.toml") or {}
    yield from _strings(_at(project, "project", "dependencies"))
    for group in (_at(project, "project", "optional-dependencies"), _at(project, "dependency-groups")):
        for lines in group.values() if isinstance(group, dict) else ():
            yield from _strings(lines)
    poetry = _at(project, "tool", "poetry", "dependencies")
    for name, constraint in poetry.items() if isinstance(poetry, dict) else ():
        version = constraint.get("version") if isinstance(constraint, dict) else constraint
        if isinstance(version, str):
            yield f"{name}{_from_poetry(version)}"


def _without_comment(line: str) -> str:
    """A requirement without its comment, and without options of pip."""
    return re.split(r"(?:^|\s)#|\s--", line, maxsplit=1)[0].strip()


def _setup_lines(folder: Path) -> Iterator[str]:
    """What `setup.py` and `setup.cfg` say of `install_requires`: the script is read, never run."""
    with contextlib.suppress(UnreadableFile, configparser.Error):
        options = configparser.ConfigParser(interpolation=None)
        options.read_string(read_file(folder / "setup.cfg").text)
        yield from options.get("options", "install_requires", fallback="").splitlines()
    with contextlib.suppress(UnreadableFile):
        text = read_file(folder / "setup.py").text
        syntax = read_syntax(text) if is_bounded(text) else None
        nodes = [node for statement in syntax.statements for node in ast.walk(statement)] if syntax is not None else []
        lists = {
            target.id: node.value
            for node in nodes
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in nodes:
            if isinstance(node, ast.keyword) and node.arg == "install_requires":
                value = lists.get(node.value.id) if isinstance(node.value, ast.Name) else node.value
                items = value.elts if isinstance(value, (ast.List, ast.Tuple)) else ()
                yield from (item.value for item in items if isinstance(item, ast.Constant) and type(item.value) is str)


_CONDA_LINE = re.compile(r"[ \t]*-[ \t]+(?:[\w.-]+::)?([A-Za-z0-9][\w.-]*(?:\[[\w,-]+\])?)[ \t]*([^#\r\n]*)")


def _conda_lines(folder: Path) -> Iterator[str]:
    """The entries of an environment file as requirements; conda's single `=` pins, and its build is left out."""
    for path in sorted((*matching(folder, "environment*.yml"), *matching(folder, "environment*.yaml"))):
        try:
            text = read_file(path).text
        except UnreadableFile:
            continue
        for match in map(_CONDA_LINE.match, text.splitlines()):
            if match is not None:
                name, constraint = match[1], match[2].strip().strip("\"'")
                if re.match(r"=[^=]", constraint):
                    constraint = f"={constraint.rsplit('=', 1)[0] if constraint.count('=') > 1 else constraint}"
                yield f"{name}{constraint}"


def _from_poetry(constraint: str) -> str:
    """A Poetry constraint as PEP 440 says it (`^1.8` is `>=1.8,<2`)."""
    if constraint[:1] in ("^", "~") and not constraint.startswith("~="):
        base = constraint[1:].strip()
        numbers = base.split(".")
        kept = 1 if constraint.startswith("^") and numbers[0] != "0" else 2
        if not all(re.fullmatch(r"\d{1,9}", number, re.ASCII) for number in numbers[:kept]):
            return ""
        upper = [*numbers[:kept]] + ["0"] * (kept - len(numbers))
        upper[-1] = str(int(upper[-1]) + 1)
        return f">={base},<{'.'.join(upper)}"
    return f"=={constraint}" if constraint[:1].isdigit() else constraint.replace("*", "")


def _locked(folder: Path, name: str) -> str | None:
    """The version in a lock file."""
    for file in ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml"):
        lock = read_toml(folder / file) or {}
        packages = lock.get("package") or lock.get("packages")
        for package in packages if isinstance(packages, list) else ():
            if isinstance(package, dict) and canonical_name(str(package.get("name", ""))) == name:
                version = package.get("version")
                if isinstance(version, str) and _is_version(version):
                    return version
    return None


def _at(table: Any, *keys: str) -> Any:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _strings(value: Any) -> Iterator[str]:
    yield from (item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except ValueError:  # numbers with 5,000 digits, too
        return False
    return True
