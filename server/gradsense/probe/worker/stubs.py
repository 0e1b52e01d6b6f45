"""Stand-ins for packages that aren't installed, so that a class that doesn't need them can still be
probed."""

from __future__ import annotations

import ast
import importlib.machinery
import linecache
import sys
import types
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .where import Places


class MissingPackage(ImportError):
    """The model really uses a package that this interpreter doesn't have."""


class Stubs:
    """While `loading`, a stub takes part in definitions (base class, decorator, default); later, using one
    raises.

    On `sys.meta_path` it finds what nothing else does, for other files of the user's that the probed one imports.
    """

    loading = True
    places: Places | None = None

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """A stub for a package that isn't installed; none where the user's code is ready for that."""
        parent = sys.modules.get(name.rpartition(".")[0])
        if isinstance(parent, StubModule) or (path is None and cls.loading and cls._is_taken_for_granted()):
            return importlib.machinery.ModuleSpec(name, cls, is_package=True)  # type: ignore[arg-type]
        return None

    @classmethod
    def create_module(cls, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return StubModule(spec.name)

    @classmethod
    def exec_module(cls, module: types.ModuleType) -> None:
        """There is nothing to run."""

    @classmethod
    def _is_taken_for_granted(cls) -> bool:
        """Does another file of the user's import it outside any `try`?"""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if frame is None or cls.places is None:
            return False
        path, line = frame.f_code.co_filename, frame.f_lineno
        if path == cls.places.path or not cls.places.is_users(path):
            return False
        try:
            tree = ast.parse("".join(linecache.getlines(path)))
        except SyntaxError:
            return False
        return not any(
            isinstance(node, ast.Try) and node.lineno <= line <= (node.end_lineno or node.lineno)
            for node in ast.walk(tree)
        )


class _StubType(type):
    """Stubs are classes, so that the user's classes can derive from them."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return make(f"{cls._stub_name}.{name}")

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "_stub_name" not in vars(cls):
            return super().__call__(*args, **kwargs)  # a class of the user's that derives from a stub
        if not Stubs.loading:
            raise MissingPackage(cls._stub_name.partition(".")[0])
        if len(args) == 1 and not kwargs and isinstance(args[0], (type, types.FunctionType)):
            return args[0]  # a decorator
        return cls

    def __iter__(cls) -> Any:
        return iter(())

    def __getitem__(cls, item: Any) -> Any:
        return cls

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __or__

    def _needed(cls, *_: Any) -> Any:
        """Nobody can count with what isn't there."""
        if Stubs.loading:
            return cls
        raise MissingPackage(cls._stub_name.partition(".")[0])

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _needed
    __floordiv__ = __rfloordiv__ = __mod__ = __pow__ = __matmul__ = __rmatmul__ = __neg__ = _needed
    __lt__ = __le__ = __gt__ = __ge__ = __int__ = __float__ = __index__ = __enter__ = _needed

    _stub_name: str


def make(name: str) -> Any:
    """A stub for the dotted `name`."""
    return _StubType(name.rpartition(".")[2], (), {"_stub_name": name, "__module__": name.rpartition(".")[0] or name})


class StubModule(types.ModuleType):
    """A module of which every attribute is a stub."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return make(f"{self.__name__}.{name}")
