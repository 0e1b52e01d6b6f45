"""Which expressions of a file stand for the model: a construction of its class, and what was assigned one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Union

from .names import dotted, last_name, parameters
from .program import Program, Scope

_SAME = frozenset(
    ("apply", "bfloat16", "compile", "cpu", "cuda", "double", "eval", "float", "half", "requires_grad_", "to", "train")
)
_WRAPPERS = frozenset(("DDP", "DataParallel", "DistributedDataParallel", "compile"))
_CLAIMS_OF_ERRORS = frozenset(("raises", "assertRaises", "assertRaisesRegex"))
_DEEPEST = 8
Assigned = Union[ast.Assign, ast.AnnAssign, ast.NamedExpr]


class Instances:
    """The instances in one file of a class that goes by some names there."""

    def __init__(self, program: Program, names: set[str]) -> None:
        self._program = program
        self._names = names
        self._assigned: dict[tuple[ast.AST, str], list[tuple[int, ast.expr]]] = {}
        for node in program.nodes:
            if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    name = dotted(target)
                    if name is not None:
                        place = (self._owner(node, name), name)
                        self._assigned.setdefault(place, []).append((node.lineno, node.value))

    def constructions(self) -> Iterator[ast.Call]:
        """The calls of the class, in order, but for those that are to fail."""
        for call in self._program.calls():
            if last_name(call.func) in self._names and not self.is_to_fail(call):
                yield call

    def is_to_fail(self, call: ast.Call) -> bool:
        """Does it stand where a test claims that an error is raised?"""
        return any(
            isinstance(item.context_expr, ast.Call) and last_name(item.context_expr.func) in _CLAIMS_OF_ERRORS
            for parent in self._program.parents(call)
            if isinstance(parent, ast.With)
            for item in parent.items
        )

    def is_one(self, node: ast.AST, depth: int = 0) -> bool:
        """Whether `node` stands for an instance, as far as the file tells."""
        if depth > _DEEPEST:
            return False
        if isinstance(node, ast.Call):
            return self._gives_one(node, depth + 1)
        name = dotted(node)
        if name is None:
            return False
        scope = self._program.scope_of(node)
        nearest = self.assigned(name, node)
        if nearest is not None:
            return self.is_one(nearest, depth + 1)
        if name in _parameters(scope):
            return self._is_passed_one(scope, name, depth + 1)
        outside = self._assigned.get((self._program.tree, name), [])
        return any(self.is_one(value, depth + 1) for _, value in outside[-1:])

    def assigned(self, name: str, before: ast.AST) -> ast.expr | None:
        """What a name is assigned last before a node, in the same function; of `self.x` anywhere in the class."""
        found = self._assigned.get((self._owner(before, name), name), [])
        line = getattr(before, "lineno", 0)
        earlier = [value for number, value in found if number < line or name.startswith("self.")]
        return earlier[-1] if earlier else None

    def _owner(self, node: ast.AST, name: str) -> ast.AST:
        """The function, or the class of an attribute, that a name belongs to."""
        if name.startswith("self."):
            owner = next((each for each in self._program.parents(node) if isinstance(each, ast.ClassDef)), None)
            if owner is not None:
                return owner
        return self._program.scope_of(node)

    def _gives_one(self, call: ast.Call, depth: int) -> bool:
        name = last_name(call.func)
        if name in self._names:
            return True
        if isinstance(call.func, ast.Attribute) and name in _SAME and self.is_one(call.func.value, depth):
            return True
        if name in _WRAPPERS and call.args:
            return self.is_one(call.args[0], depth)
        function = self._program.functions.get(name)
        return function is not None and any(self.is_one(each, depth) for each in given_back(self._program, function))

    def _is_passed_one(self, scope: Scope, name: str, depth: int) -> bool:
        for call in self._program.callers(scope):
            argument = self._program.argument(call, scope, name)
            if argument is not None and self.is_one(argument, depth):
                return True
        fixture = self._program.functions.get(name)
        return (
            fixture is not None
            and is_fixture(fixture)
            and any(self.is_one(each, depth) for each in given_back(self._program, fixture))
        )


def given_back(program: Program, function: ast.AST) -> Iterator[ast.expr]:
    """What a function returns or yields."""
    for node in ast.walk(function):
        if isinstance(node, (ast.Return, ast.Yield)) and node.value is not None and program.scope_of(node) is function:
            yield node.value


def is_fixture(function: ast.AST) -> bool:
    """Is it a fixture of pytest's?"""
    return any(
        last_name(each.func if isinstance(each, ast.Call) else each) == "fixture"
        for each in getattr(function, "decorator_list", ())
    )


def _parameters(scope: Scope) -> list[str]:
    return [] if isinstance(scope, ast.Module) else parameters(scope)
