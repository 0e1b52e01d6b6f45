"""Where the layers of a finished model are made, read from its classes' sources: nobody watched it being built."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from gradsense.probe.worker.where import Line, Origins, Places


class Written(Origins):
    """For each layer and parameter of `model`, the line of the user's class that assigns it."""

    def __init__(self, places: Places, model: Any) -> None:
        super().__init__(places)
        self._known: dict[type, dict[str, Line]] = {}
        self._lines: dict[int, Line | None] = {}
        self._look(model, None)

    def of_module(self, module: Any) -> Line | None:
        """The line that assigns a layer, or the nearest one around it that the user's own class has."""
        return self._lines.get(id(module))

    def of_attribute(self, owner: Any, name: str) -> Line | None:
        """The line that assigns `owner.name`; for a library's layer, the user's line that assigns the layer."""
        return self._assigned(type(owner), name) or self.of_module(owner)

    def _look(self, module: Any, line: Line | None) -> None:
        self._lines[id(module)] = line
        for name, child in module.named_children():
            self._look(child, self._assigned(type(module), name) or line)

    def _assigned(self, kind: type, name: str) -> Line | None:
        found = (self._of_class(each).get(name) for each in kind.__mro__)
        return next((line for line in found if line is not None), None)

    def _of_class(self, kind: type) -> dict[str, Line]:
        if kind not in self._known:
            self._known[kind] = dict(self._read(kind))
        return self._known[kind]

    def _read(self, kind: type) -> Iterator[tuple[str, Line]]:
        try:
            path = inspect.getfile(kind)
            if not self.places.is_users(path):
                return
            lines, first = inspect.getsourcelines(kind)
            tree = ast.parse(textwrap.dedent("".join(lines)))
        except (OSError, TypeError, SyntaxError):
            return  # of `exec`, a notebook, or not what is on the disk any more
        methods = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
        for method in sorted(methods, key=lambda each: each.name == "__init__"):  # the last to set a name is believed
            me = next((each.arg for each in (*method.args.posonlyargs, *method.args.args)), "")
            for node in ast.walk(method):
                for name in _names_set(node, me):
                    yield name, (path, first + getattr(node, "lineno", 1) - 1)


def _names_set(node: ast.AST, me: str) -> Iterator[str]:
    """Attributes of the object `me` that a statement or call sets."""
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            for each in ast.walk(target):
                if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == me:
                    yield each.attr
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("register_parameter", "register_module", "add_module")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ):
        yield str(node.args[0].value)
