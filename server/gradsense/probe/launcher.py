"""The command that starts a script's ranks under a launcher: `torchrun`, `srun`, `ssh host`, a container. Pure, but for
the worker's own files.

The launcher may start Python on another machine, with another environment and without our files. So the whole worker
stands in the command, as the argument of `python -c`. A launcher may pass it on as it is, or through a shell, as ssh
does, or through two, so it is written to mean the same each time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pkgutil
import re
import shlex
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from gradsense.probe.plan import ProbeError

_IMPORT = re.compile(r"^from \.(\w+) import", re.MULTILINE)
_PYTHON = re.compile(r"python[0-9.]*(\.exe)?$")
_OPTIONS = {
    "torchrun": "--no-python",
    "torch.distributed.run": "--no-python",
    "torch.distributed.launch": "--no-python",
    "accelerate": "--no_python",
    "deepspeed": "--no_python",
}
"""Launchers that take a Python script, with the option that has them take a program."""

_HARMLESS = str.maketrans("$%!`", ".,:/")
"""Of the digits of base 85, those that torchrun and some shells replace, even where quotes stand around them."""

_BOOTSTRAP = """\
import base64, importlib.abc, importlib.util, json, sys, zlib
sys.path[:1] = []
content = "%s".translate(str.maketrans(".,:/", bytes([36, 37, 33, 96]).decode()))
told = json.loads(zlib.decompress(base64.b85decode(content)))
class Worker(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path=None, target=None):
        package, _, module = name.partition(".")
        if package == "_gradsense_probe" and (module or "__init__") in told["files"]:
            return importlib.util.spec_from_loader(name, self, origin="<gradsense " + name + ">", is_package=not module)
    def is_package(self, name):
        return "." not in name
    def get_source(self, name):
        return told["files"][name.partition(".")[2] or "__init__"]
    def exec_module(self, module):
        module.__file__ = module.__spec__.origin
        exec(compile(self.get_source(module.__name__), module.__file__, "exec"), module.__dict__)
sys.meta_path.insert(0, Worker())
sys.dont_write_bytecode = True
from _gradsense_probe.launched import main
main(told)
"""


def command(launcher: str, interpreter: Path, told: Mapping[str, Any]) -> list[str]:
    """The words of `launcher`, with what makes it start the worker on `told` (`worker/launched.py`).

    A launcher that ends in a Python interpreter starts that one, any other one `interpreter`. Raises `ProbeError` for a
    command that a shell couldn't split either, and for an empty one.
    """
    try:
        words = shlex.split(launcher)
    except ValueError as error:
        raise ProbeError(f"The launcher's command can't be split: {error}. Quote it as for a shell.") from error
    if not words:
        raise ProbeError("The launcher's command is empty. Write what starts the workers, such as `torchrun`.")
    option = next((_OPTIONS[name] for name in map(_name, words) if name in _OPTIONS), None)
    python = [] if _PYTHON.match(_name(words[-1])) else [str(interpreter)]
    if option is not None and not python:
        words, python = words[:-1], words[-1:]
    added = [option] if option is not None and option not in words and option.replace("_", "-") not in words else []
    return [*words, *added, *python, "-c", _whatever_the_shells(_program(told))]


def digest_of(text: str) -> str:
    """By which the other side knows that it has the same text; line ends and blanks don't count."""
    return hashlib.sha256("".join(text.removeprefix("\ufeff").split()).encode("utf-8", "replace")).hexdigest()


def _name(word: str) -> str:
    return PurePath(word).name


def _program(told: Mapping[str, Any]) -> str:
    files: dict[str, str] = {}
    todo = ["__init__", "launched"]
    while todo:
        name = todo.pop()
        if name not in files:
            files[name] = (pkgutil.get_data("gradsense.probe", f"worker/{name}.py") or b"").decode()
            # What is imported within a function is for classes.
            todo += _IMPORT.findall(files[name])
    content = json.dumps({**told, "files": files}).encode()
    return _BOOTSTRAP % base64.b85encode(zlib.compress(content, 9)).decode().translate(_HARMLESS)


def _whatever_the_shells(program: str) -> str:
    """One word that Python takes for `program` as it stands, and after one shell, and after two.

    Python sees a string and a comment, then the program, then a comment. A shell joins the quoted parts: what is left
    is again a string, a comment, the program and a comment; after the second shell it is two comments around it.
    """
    assert "'" not in program
    return "\"''\"#\"'\"'\n" + program + "\n#'\"'\""
