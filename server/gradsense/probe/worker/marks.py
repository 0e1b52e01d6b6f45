"""What pytest gives a test's parameters: the first of its parametrised values, or what a fixture of the file
returns."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .instances import given_back, is_fixture
from .names import last_name
from .program import Program, Scope


@dataclass(frozen=True)
class Given:
    """An expression of a scope, and which part of its value a parameter gets: that at `path`, index by index."""

    scope: Scope
    node: ast.expr
    path: tuple[int, ...] = ()

    def part(self, value: Any) -> Any:
        """The part of the expression's value. Raises what taking it raises."""
        for index in self.path:
            value = next(iter(value)) if index == 0 and not hasattr(value, "__getitem__") else value[index]
        return value


def given_by_test(program: Program, function: ast.AST, name: str) -> Iterator[Given]:
    """The values of the parameter `name` of a test or a fixture."""
    around = [each for each in program.parents(function) if isinstance(each, ast.ClassDef)]
    for owner in (function, *around):
        for mark in getattr(owner, "decorator_list", ()):
            if isinstance(mark, ast.Call) and last_name(mark.func) == "parametrize" and len(mark.args) >= 2:
                yield from _parametrized(program.scope_of(owner), mark, name)
    fixture = program.functions.get(name)
    if fixture is not None and fixture is not function and is_fixture(fixture):
        yield from (Given(fixture, each) for each in given_back(program, fixture))


def _parametrized(scope: Scope, mark: ast.Call, name: str) -> Iterator[Given]:
    names, values = _names(mark.args[0]), mark.args[1]
    if name not in names:
        return
    inner = (names.index(name),) if len(names) > 1 else ()
    if isinstance(values, (ast.List, ast.Tuple)):
        for each in values.elts[:3]:
            if isinstance(each, ast.Call) and last_name(each.func) == "param":
                yield from (Given(scope, argument) for argument in each.args[names.index(name) :][:1])
            else:
                yield Given(scope, each, inner)
    else:
        yield Given(scope, values, (0, *inner))


def _names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [each.strip() for each in node.value.split(",") if each.strip()]
    each_of = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
    return [each.value for each in each_of if isinstance(each, ast.Constant) and isinstance(each.value, str)]
