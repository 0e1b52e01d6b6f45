"""Other files of the user's that may show how a class is constructed and called: of each only the statements are run
that some expression needs, and of the user's files that it imports no more either."""

from __future__ import annotations

import ast
import os
import re
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from .instances import Instances
from .load import Loaded
from .names import DEFINITIONS
from .program import Program
from .scopes import Scopes

_SOURCE_FOLDERS = ("", "src", "lib", "python")
_TEST = re.compile(r"(^|[/\\])(tests?[/\\]|test_\w+\.py$|\w+_test\.py$|conftest\.py$)")


class Elsewhere:
    """The files besides the probed one, by path. What can't be read or parsed isn't there."""

    def __init__(self, loaded: Loaded, texts: Mapping[str, str], folder: str) -> None:
        """`texts` are those of files that mention the class; `folder` is where the user's own run would start."""
        self._loaded = loaded
        self._texts = dict(texts)
        self._folder = folder
        self._others: dict[str, Other | None] = {}
        self._modules: dict[str, types.ModuleType] | None = None

    def users_of(self, target: type) -> Iterator[User]:
        """The files that may construct or call the class, nearest first."""
        for path in self._texts:
            other = self.at(path)
            if other is not None:
                yield User(other, target, self.label(path), bool(_TEST.search(self.label(path))))

    def label(self, path: str) -> str:
        """What to call a file: its path from the user's folder, if it lies in there."""
        inside = path.startswith(self._folder.rstrip(os.sep) + os.sep)
        return os.path.relpath(path, self._folder).replace(os.sep, "/") if inside else path

    def at(self, path: str) -> Other | None:
        """The file at a path; it is parsed once."""
        if path not in self._others:
            self._others[path] = self._read(path)
        return self._others[path]

    def _read(self, path: str) -> Other | None:
        text = self._texts.get(path)
        try:
            if text is None:
                with open(path, encoding="utf-8-sig") as file:
                    text = file.read()
            return Other(self, Program(text, path), path)
        except (OSError, SyntaxError, ValueError, RecursionError):
            return None

    def module(self, name: str, level: int, importer: str) -> types.ModuleType | None:
        """What `importer` gets when it imports `name`, if that is a file of the user's: the probed one, one that was
        imported already, or one of which nothing is run before something is asked of it."""
        path = self._path_of(name, level, importer)
        if path is None:
            return None
        loaded = self._imported().get(path)
        if loaded is not None:
            return loaded
        other = self.at(path)
        return other.module if other is not None else None

    def _imported(self) -> dict[str, types.ModuleType]:
        if self._modules is None:
            self._modules = {}
            for module in list(sys.modules.values()):
                file = vars(module).get("__file__") if isinstance(module, types.ModuleType) else None
                if isinstance(file, str) and not vars(module).get("_waits"):  # a package that wasn't entered
                    self._modules[os.path.abspath(file)] = module
            self._modules[os.path.abspath(self._loaded.path)] = self._loaded.module
        return self._modules

    def _path_of(self, name: str, level: int, importer: str) -> str | None:
        parts = [each for each in name.split(".") if each]
        folder = os.path.dirname(importer)
        if level:
            for _ in range(level - 1):
                folder = os.path.dirname(folder)
            return self._file_in(folder, parts)
        if not parts:
            return None
        for start in (folder, _outside_package(folder), os.path.dirname(self._loaded.path), self._folder):
            for each in _SOURCE_FOLDERS:
                path = self._file_in(os.path.join(start, each), parts)
                if path is not None:
                    return path
        return None

    def _file_in(self, folder: str, parts: list[str]) -> str | None:
        place = os.path.join(folder, *parts)
        for path in (f"{place}.py" if parts else "", os.path.join(place, "__init__.py")):
            if path and (os.path.isfile(path) or path == self._loaded.path):  # which may not be saved yet
                return os.path.abspath(path)
        return None


class Other(Loaded):
    """One of those files: its statements run in a module of their own, when an expression needs them."""

    def __init__(self, elsewhere: Elsewhere, program: Program, path: str) -> None:
        super().__init__(program, _Lazy(f"_elsewhere_{os.path.basename(path)[:-3]}", self), path)
        self._elsewhere = elsewhere
        self._asked: set[str] = set()
        self.module.__file__ = path
        sys.modules[self.module.__name__] = self.module  # where dataclasses look for it
        self.scopes = Scopes(self, guesses=False)

    def value_of(self, name: str) -> Any:
        """What `from file import name` would bind. Raises `AttributeError`."""
        if name not in self.globals and name not in self._asked:
            self._asked.add(name)
            self.scopes.environment(self.program.tree, [ast.Name(name, ast.Load())])
        if name in self.globals:
            return self.globals[name]
        module = self._elsewhere.module(name, 1, self.path) if self.path.endswith("__init__.py") else None
        if module is None:
            raise AttributeError(f"{self.path} has no {name}")
        return module

    def run(self, statement: ast.stmt, namespace: dict[str, Any] | None = None) -> bool:
        """As for the probed file, but imports bring in nothing new of the user's, and definitions are made once."""
        space = self.globals if namespace is None else namespace
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            done = [self._import(statement, alias, space) for alias in statement.names]
            return all(done)
        if space is self.globals and isinstance(statement, DEFINITIONS):
            if statement in self.ran:
                return True
            self.ran.add(statement)
        return super().run(statement, space)

    def _import(self, statement: ast.Import | ast.ImportFrom, alias: ast.alias, space: dict[str, Any]) -> bool:
        try:
            if isinstance(statement, ast.ImportFrom):
                found = self._member(statement, alias.name)
                if found is not None:
                    space[alias.asname or alias.name] = found
                    return True
                single: ast.stmt = ast.ImportFrom(statement.module, [alias], statement.level)
            else:
                module = self._elsewhere.module(alias.name, 0, self.path)
                if module is not None:
                    _bind(space, alias, module)
                    return True
                single = ast.Import([alias])
        except AttributeError as error:
            return self._failed(statement, error)
        return super().run(ast.copy_location(single, statement), space)

    def _stub(self, statement: ast.stmt, space: dict[str, Any]) -> None:
        """A value that stands for none is no argument."""
        self._failed(statement, ImportError())

    def _member(self, statement: ast.ImportFrom, name: str) -> Any:
        """What is imported from a file of the user's; None if it is from none. Raises `AttributeError`."""
        base = statement.module or ""
        module = self._elsewhere.module(base, statement.level, self.path)
        if module is not None:
            return getattr(module, name)
        return self._elsewhere.module(f"{base}.{name}" if base else name, statement.level, self.path)


class User:
    """A file that may construct or call a class."""

    def __init__(self, other: Other, target: type, label: str, is_test: bool) -> None:
        self.other = other
        self.label = label
        self.is_test = is_test
        """Sizes in a test are chosen for the test."""
        self._target = target
        name = target.__name__
        aliases = [alias for node in other.program.nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
        self.instances = Instances(
            other.program, {name, *(alias.asname for alias in aliases if alias.name == name and alias.asname)}
        )

    def arguments(self, call: ast.Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What a construction in the file passes. Raises what its code raises, and `LookupError` where it is one of
        another class."""
        scopes = self.other.scopes
        space = scopes.environment(self.other.program.scope_of(call), [call])
        if self.other.evaluate(call.func, space) is not self._target:
            raise LookupError(f"another {self._target.__name__}")
        space = {**space, "_given": lambda *args, **kwargs: (args, kwargs)}
        given = ast.copy_location(ast.Call(ast.Name("_given", ast.Load()), call.args, call.keywords), call)
        args, kwargs = self.other.evaluate(ast.fix_missing_locations(given), space)
        return args, kwargs


class _Lazy(types.ModuleType):
    """A module that runs what an attribute needs when it is asked for it."""

    def __init__(self, name: str, other: Other) -> None:
        super().__init__(name)
        self.__dict__["_other"] = other

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__["_other"].value_of(name)


def _bind(space: dict[str, Any], alias: ast.alias, module: types.ModuleType) -> None:
    """Bind what `import a.b` or `import a.b as c` binds."""
    if alias.asname:
        space[alias.asname] = module
        return
    first, *rest = alias.name.split(".")
    if not rest:
        space[first] = module
        return
    value: Any = module
    for part in reversed(rest):
        value = types.SimpleNamespace(**{part: value})
    space[first] = value


def _outside_package(folder: str) -> str:
    """The folder that the outermost package around a file lies in."""
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder = os.path.dirname(folder)
    return folder
