"""What a process can do before it knows what to probe, and what makes that worthless later."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig

_STAGES = ("plain", "lightning", "script")


def preload() -> None:
    """Import the stages, which are compiled anew in each process: no bytecode is written."""
    for name in _STAGES:
        importlib.import_module(f".{name}", __package__)


def leans_on() -> dict[str, int]:
    """The files and folders whose change makes another process of this interpreter import something else, with their
    times of modification: the module search path, and modules that are installed elsewhere, as for development.
    """
    paths = sysconfig.get_paths()
    usual = tuple(paths[key] + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib"))
    ours = os.path.dirname(os.path.abspath(__file__)) + os.sep
    found = {folder for folder in sys.path if folder} | {os.path.join(sys.prefix, "pyvenv.cfg")}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not file.startswith(usual) and not file.startswith(ours):
            found.add(file)
    found.add(str(getattr(sys.modules["torch"], "__file__", None) or ""))
    return {path: os.stat(path).st_mtime_ns for path in found if os.path.exists(path)}


def shadowed(folder: str) -> bool:
    """Has the folder a module of the name of one that was imported already, from elsewhere?"""
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    for name in names:
        stem, extension = os.path.splitext(name)
        is_module = extension == ".py" or os.path.isfile(os.path.join(folder, name, "__init__.py"))
        if is_module and stem in sys.modules and not stem.startswith("__"):
            return True
    return False
