"""Stand-ins for packages that aren't installed, so that a class that doesn't need them can still be
probed."""

from __future__ import annotations

import importlib.machinery
import types
from typing import Any


class MissingPackage(ImportError):
    """The model really uses a package that this interpreter doesn't have."""


class Stubs:
    """While `loading`, a stub takes part in definitions (base class, decorator, default); later, using one
    raises."""

    loading = True


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
