"""The packages around the probed file: entered without running what their `__init__.py` imports, as long as nobody asks
for any of it. That may be a hundred files that the model has nothing to do with, and packages that aren't installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from typing import Any


class _Package(types.ModuleType):
    """A package whose `__init__.py` runs when something is asked of it that is no module of its own."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self.__path__ = [os.path.dirname(path)]
        self.__file__ = path
        self.__package__ = name
        self.__spec__ = importlib.util.spec_from_file_location(name, path, submodule_search_locations=self.__path__)
        self.__dict__["_waits"] = True

    def __getattr__(self, name: str) -> Any:
        waits = self.__dict__["_waits"] and (not name.startswith("__") or name in ("__all__", "__version__"))
        if waits and importlib.util.find_spec(f"{self.__name__}.{name}") is not None:
            return importlib.import_module(f"{self.__name__}.{name}")
        if waits:
            self.__dict__["_waits"] = False
            spec = self.__spec__
            assert spec is not None
            assert spec.loader is not None
            spec.loader.exec_module(self)
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def add_package(name: str, folder: str) -> None:
    """Let the package `name` (dotted) below `folder` be imported from, unless it has been imported already."""
    if name in sys.modules:
        return
    path = os.path.join(folder, *name.split("."), "__init__.py")
    module = _Package(name, path)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
