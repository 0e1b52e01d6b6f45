"""Which module of an installed package defines a name that the package passes on.

jedi follows each `from .models import *` by inferring every name of every module behind it: of `transformers`, which
has 2,900 modules (5.24), one name takes minutes. To read where a name comes from takes a second.

Nothing is executed. jedi's process uses this, so it imports nothing else of GradSense's.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_STAR = re.compile(r"^[ \t]*from[ \t]+([.\w]+)[ \t]+import[ \t]*\*", re.MULTILINE)
_DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)|^([^\W\d]\w*)[ \t]*[:=]", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*from[ \t]+[.\w]+[ \t]+import[ \t]*(\([^)]*\)|[^\n(]*)", re.MULTILINE)
_LISTED = re.compile(r"^__all__[ \t]*(?::[^=\n]*)?=[ \t]*[\[(]([^\])]*)[\])][ \t]*(?:#.*)?$", re.MULTILINE)
_ADDED = re.compile(r"^[ \t]*__all__[ \t]*\+=|\b__all__\.", re.MULTILINE)
_WORD = re.compile(r"[^\W\d]\w*")


class Export(NamedTuple):
    """Where a name comes from, so far as its package's modules say."""

    module: str | None = None
    """The module that defines it (`transformers.models.bert.modeling_bert`); None where that can't be told."""
    names: tuple[str, ...] = ()
    """What it is there: a name, and attributes of that (`BertModel`, `from_pretrained`)."""
    absent: bool = False
    """Whether every module that it could come from has been read, and none mentions it."""
    files: tuple[str, ...] = ()
    """The modules on the way to it. Others that were looked through are left out: there may be thousands."""


class _Module(NamedTuple):
    path: str
    names: frozenset[str]
    """What it passes on of its own, and maybe more; if `listed`, what it passes on at all, and no more."""
    listed: bool
    stars: tuple[str, ...]
    """The modules that it takes everything from, by their full names."""


class _Origin(NamedTuple):
    """Where a module has a name from: from its own text (no `module`), or it is another module, or a name there."""

    module: str | None = None
    name: str | None = None


class Exports:
    """The modules below some folders. Each is read once: whoever wants them read anew makes another of these."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders
        self._modules: dict[str, _Module | None] = {}

    def origin(self, qualified: str) -> Export:
        """Where a dotted name (`transformers.BertModel.from_pretrained`) comes from."""
        parts = qualified.split(".")
        if not all(part.isidentifier() for part in parts):
            return Export()
        length = 0
        while length < len(parts) and self._module(".".join(parts[: length + 1])) is not None:
            length += 1
        if not 0 < length < len(parts):
            return Export()
        module_name, name, rest = ".".join(parts[:length]), parts[length], tuple(parts[length + 1 :])
        files: list[str] = []
        seen: set[tuple[str, str]] = set()
        while (module_name, name) not in seen:
            seen.add((module_name, name))
            module = self._module(module_name)
            if module is None:
                break
            files.append(module.path)
            origin = _bindings(module.path, module_name).get(name)
            if origin is None:
                looked_at = {module_name}
                behind = self._behind(module, name, looked_at)
                if behind is None:
                    is_read = all(self._module(each) is not None for each in looked_at)
                    return Export(absent=is_read and not _mentions(module.path, name), files=tuple(files))
                module_name = behind
            elif origin.module is None:
                return Export(module_name, (name, *rest), files=tuple(files))
            elif origin.name is None or self._module(f"{origin.module}.{origin.name}") is not None:
                there = self.origin(".".join(filter(None, (*origin, *rest)))) if rest else Export()
                return there._replace(files=(*files, *there.files))
            else:
                module_name, name = origin.module, origin.name
        return Export(files=tuple(files))

    def _behind(self, module: _Module, name: str, looked_at: set[str]) -> str | None:
        """The module that a name comes from by `import *`: the last one that passes it on."""
        for star in reversed(module.stars):
            if star in looked_at:
                continue
            looked_at.add(star)
            behind = self._module(star)
            if behind is None:
                continue
            if behind.listed:
                if name in behind.names:
                    return star
                continue
            if name in behind.names and name in _bindings(behind.path, star):
                return star
            found = self._behind(behind, name, looked_at)
            if found is not None:
                return found
        return None

    def _module(self, name: str) -> _Module | None:
        """A module by its full name; None if there is none that can be read."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> _Module | None:
        for folder in self._folders:
            base = os.path.join(folder, *name.split("."))
            for path in (os.path.join(base, "__init__.py"), f"{base}.py"):
                text = _text(path)
                if text is not None:
                    return _summary(path, name, text)
        return None


def _summary(path: str, name: str, text: str) -> _Module:
    stars = tuple(_absolute(match[1], name, path) for match in _STAR.finditer(text))
    listed = _LISTED.search(text)
    if listed is not None and "*" not in listed[1] and not _ADDED.search(text):
        return _Module(path, frozenset(_WORD.findall(listed[1])), True, stars)
    names = {word for match in _DEFINITION.finditer(text) for word in match.groups() if word}
    names.update(word for match in _IMPORT.finditer(text) for word in _WORD.findall(match[1]))
    return _Module(path, frozenset(word for word in names if not word.startswith("_")), False, stars)


def _bindings(path: str, module_name: str) -> dict[str, _Origin]:
    """What a module defines and imports by name, whatever the condition; what stands first counts, for what stands
    first under `try` or `if TYPE_CHECKING` is the real one. What it only assigns counts where nothing else does.
    """
    text = _text(path)
    try:
        body = ast.parse(text or "").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    bound: dict[str, _Origin] = {}
    assigned: dict[str, _Origin] = {}
    for statement in _statements(body):
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            bound.setdefault(statement.name, _Origin())
        elif isinstance(statement, ast.ImportFrom):
            source = _absolute("." * statement.level + (statement.module or ""), module_name, path)
            for alias in statement.names:
                bound.setdefault(alias.asname or alias.name, _Origin(source, alias.name))
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                root = alias.name.partition(".")[0]
                bound.setdefault(alias.asname or root, _Origin(alias.name if alias.asname else root))
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                if isinstance(target, ast.Name):
                    assigned.setdefault(target.id, _Origin())
    return assigned | bound


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module's body, those under its conditions among them."""
    for statement in body:
        yield statement
        for field in ("body", "handlers", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With):
                for inner in getattr(statement, field, ()):
                    yield from _statements(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def _absolute(module: str, importer: str, path: str) -> str:
    """The full name of a module as an `import` of another one writes it."""
    level = len(module) - len(module.lstrip("."))
    if not level:
        return module
    parts = importer.split(".")
    package = parts if os.path.basename(path) == "__init__.py" else parts[:-1]
    kept = package[: len(package) - level + 1]
    return ".".join((*kept, module[level:])).rstrip(".") if kept else ""


def _mentions(path: str, name: str) -> bool:
    """Whether a module may have a name in a way that its statements don't show: so do those with a stub, too."""
    return os.path.exists(f"{path}i") or re.search(rf"\b{re.escape(name)}\b", _text(path) or "") is not None


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None
