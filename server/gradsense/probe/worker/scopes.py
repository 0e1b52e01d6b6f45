"""What an expression of a file needs to be evaluated: the statements before it that it depends on, run in order, and
values for the parameters of the functions around it."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Iterator
from typing import Any

from .instances import is_fixture
from .load import Loaded
from .marks import Given, given_by_test
from .names import binds, changes, parameters, reads
from .program import Program, Scope, forbidden
from .small_values import small_value

_SETTING_UP = ("__init__", "setUp", "setup_method")
_DEEPEST = 4  # calls followed upwards from an expression to the values it is given


class Scopes:
    """The scopes of a loaded file, with what can be run of them."""

    def __init__(self, loaded: Loaded, guesses: bool = True) -> None:
        """`guesses`: whether a parameter that nothing gives a value gets a small one by its name."""
        self.loaded = loaded
        self.program: Program = loaded.program
        self._guesses = guesses

    def environment(
        self, scope: Scope, targets: list[Any], depth: int = 0, run_targets: bool = False, in_loops: bool = False
    ) -> dict[str, Any]:
        """The names with which `targets` (nodes of `scope`) can run; with `run_targets` after they have.
        `in_loops`: with the first item of each loop around them.

        The module's own statements run in the module, where its classes look; a function's in a copy of it.
        """
        last = targets[-1]
        functions = self._functions(scope)
        bodies = [each.body for each in functions] or [scope.body]
        statements = [
            each
            for body in bodies
            for each in self.program.before(body, last if body is bodies[-1] else None, in_loops)
        ]
        needed = self.program.reads_deeply(*targets)
        forced = [each for each in targets if isinstance(each, ast.stmt)] if run_targets else []
        kept = self.program.slice(statements, needed, forced)
        space = self.loaded.globals
        if functions:
            self._run_outside(needed, functions)
            space = dict(space)
            for function in functions:
                self._bind_parameters(space, function, needed, depth)
        for statement in kept:
            if functions or statement not in self.loaded.ran:
                self.loaded.run(statement, space)
        if run_targets:
            self.loaded.run(last, space)
            for statement in self._aftermath(last, targets):
                self.loaded.run(statement, space)
        return space

    def _functions(self, scope: Scope) -> list[Any]:
        """The function, after its class's constructor if it is a method; none for the module."""
        if isinstance(scope, ast.Module):
            return []
        owner = self.program.class_of(scope)
        constructors = [
            each
            for each in (owner.body if owner is not None else [])
            if isinstance(each, ast.FunctionDef) and each.name in _SETTING_UP and each is not scope
        ]
        return [*constructors, scope]

    def _run_outside(self, needed: set[str], functions: list[Any]) -> None:
        """Run the module's statements that bind what a function needs, in the module."""
        local = {name for each in functions for name in parameters(each)}
        own = binds(*self.program.tree.body)
        missing = {
            name
            for name in needed
            if name not in self.loaded.globals and name not in local and (name in own or not hasattr(builtins, name))
        }
        if missing:
            around = self.program.before(self.program.tree.body, None)
            for statement in self.program.slice(list(around), missing):
                if statement not in self.loaded.ran:
                    self.loaded.run(statement, self.loaded.globals)

    def _aftermath(self, last: ast.stmt, targets: list[Any]) -> Iterator[ast.stmt]:
        """What changes the model or the optimizer between the optimizer's construction and the training
        loop."""
        body = next(
            (
                block
                for parent in self.program.parents(last)
                for block in (getattr(parent, "body", None), getattr(parent, "orelse", None))
                if isinstance(block, list) and last in block
            ),
            [],
        )
        names = reads(*targets) | binds(*targets)
        for statement in body[body.index(last) + 1 :] if last in body else []:
            if isinstance(statement, (ast.For, ast.While)) and not changes(statement) & names:
                return
            if forbidden(statement):
                if any(isinstance(each, (ast.For, ast.While)) for each in ast.walk(statement)):
                    return
            elif changes(statement) & names:
                yield statement

    def _bind_parameters(self, space: dict[str, Any], function: Any, needed: set[str], depth: int) -> None:
        for name in parameters(function):
            if name == "self" and self.program.class_of(function) is not None:
                space["self"] = _Self()
            elif name in needed:
                value = self._parameter(function, name, depth)
                if value is not inspect.Parameter.empty:
                    space[name] = value

    def _passed(self, function: Any, name: str) -> Iterator[Given]:
        """What the file gives a parameter, in calls or by the marks of a test."""
        callers = self.program.callers(function)
        owner = self.program.class_of(function)
        if owner is not None and function.name == "__init__":
            callers = self.program.calls_of(owner.name)
        for call in callers[:3] if not is_fixture(function) else ():  # a fixture's name is that of what it gives
            argument = self.program.argument(call, function, name)
            if argument is not None:
                yield Given(self.program.scope_of(call), argument)
        yield from given_by_test(self.program, function, name)

    def _value_of(self, given: Given, depth: int) -> Any:
        try:
            outer = self.environment(given.scope, [given.node], depth)
            return given.part(self.loaded.evaluate(given.node, outer))
        except Exception:
            return inspect.Parameter.empty

    def _parameter(self, function: Any, name: str, depth: int) -> Any:
        """A parameter's value: what a caller in the file or a test's own marks pass, its default, or a small value by
        its name; `Parameter.empty` where there is none."""
        if depth < _DEEPEST:
            for given in self._passed(function, name):
                value = self._value_of(given, depth + 1)
                if value is not inspect.Parameter.empty:
                    return value
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = list(zip(reversed(positional), reversed(arguments.defaults)))
        pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults) if d is not None]
        for each, default in pairs:
            if each.arg == name:
                try:
                    return self.loaded.evaluate(default, dict(self.loaded.globals))
                except Exception:
                    break
        return small_value(name, "", self.program) if self._guesses else inspect.Parameter.empty


class _Self:
    """Stands for the object of a method whose statements are run outside it: whatever they set, it has."""
