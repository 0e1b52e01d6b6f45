"""How the file uses the model: what it passes to it, and which criterion judges what it returns."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .batch import BATCH, Leaf
from .build import Builder, Built
from .names import dotted, last_name, parameters

_LOSSES = frozenset(
    (
        "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss",
        "binary_cross_entropy", "binary_cross_entropy_with_logits",
    )
)  # fmt: skip
_FACTORIES = frozenset(("randn", "rand", "zeros", "ones", "randint", "arange", "tensor", "full", "empty"))


@dataclass(frozen=True)
class Criterion:
    """The file's loss: its words for the report, the function of output and target, and the target's name."""

    words: str
    function: Callable[[Any, Any], Any]
    target: str


class Usage:
    """The uses of `built.model`, under the name that the file has for it."""

    def __init__(self, builder: Builder, built: Built) -> None:
        self._builder = builder
        self._program = builder.program
        self._names = self._names_of(built.variable)

    def inputs(self, names: list[str]) -> dict[str, tuple[Leaf, int]]:
        """Tensors that the file itself makes up and passes, by the argument's name, with their line."""
        found: dict[str, tuple[Leaf, int]] = {}
        for call in self._program.calls():
            if dotted(call.func) in self._names:
                for name, argument in zip(names, call.args):
                    leaf = self._made_up(name, argument, call)
                    if leaf is not None:
                        found.setdefault(name, (leaf, call.lineno))
        return found

    def criterion(self) -> Criterion | None:
        """The first criterion that is called on what the model returns."""
        for call in self._program.calls():
            if len(call.args) == 2 and self._is_output(call.args[0], call):
                function = self._loss(call)
                if function is not None:
                    target = call.args[1]
                    name = target.id if isinstance(target, ast.Name) else "target"
                    words, run = function
                    return Criterion(f"{words} as on line {call.lineno}", run, name)
        return None

    def _names_of(self, variable: str | None) -> set[str]:
        """The variable, and the parameters of functions that it is passed to."""
        if variable is None:
            return set()
        names = {variable}
        for call in self._program.calls():
            function = self._program.functions.get(last_name(call.func))
            if function is None:
                continue
            for name in parameters(function):
                argument = self._program.argument(call, function, name)
                if argument is not None and dotted(argument) == variable:
                    names.add(name)
        return names

    def _made_up(self, name: str, argument: ast.expr, call: ast.Call) -> Leaf | None:
        value: ast.expr | None = argument
        if isinstance(argument, ast.Name):
            value = next(self._assigned(argument.id, call), None)
        if not isinstance(value, ast.Call) or last_name(value.func) not in _FACTORIES:
            return None
        import torch

        try:
            space = self._builder.scopes.environment(self._program.scope_of(call), [value])
            tensor = self._builder.loaded.evaluate(value, space)
        except Exception:
            return None
        if not isinstance(tensor, torch.Tensor) or not tensor.dim():
            return None
        shape = (min(tensor.shape[0], max(BATCH, 1)), *tensor.shape[1:])
        if tensor.dtype == torch.bool:
            return Leaf(name, shape, "bool")
        if tensor.is_floating_point():
            return Leaf(name, shape, "double" if tensor.dtype == torch.float64 else "float")
        return Leaf(name, shape, "long", int(tensor.max()) + 1 if tensor.numel() else 2)

    def _is_output(self, node: ast.expr, call: ast.Call) -> bool:
        """Is it `model(…)`, or a name that last got `model(…)`?"""
        if isinstance(node, ast.Name):
            assigned = next(self._assigned(node.id, call), None)
            return assigned is not None and not isinstance(assigned, ast.Name) and self._is_output(assigned, call)
        return isinstance(node, ast.Call) and dotted(node.func) in self._names

    def _assigned(self, name: str, before: ast.Call) -> Iterator[ast.expr]:
        """What `name` is assigned in the same function before the call, the nearest first."""
        scope = self._program.scope_of(before)
        found = [
            node
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign)
            and node.lineno < before.lineno
            and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
            and self._program.scope_of(node) is scope
        ]
        return (node.value for node in sorted(found, key=lambda node: -node.lineno))

    def _loss(self, call: ast.Call) -> tuple[str, Callable[[Any, Any], Any]] | None:
        """The criterion that `call` calls: a function of torch's, or an object of a `…Loss` class."""
        name = last_name(call.func)
        try:
            if name in _LOSSES:
                scope = self._program.scope_of(call)
                parts = [call.func, *(keyword.value for keyword in call.keywords)]
                space = self._builder.scopes.environment(scope, parts)
                function = self._builder.loaded.evaluate(call.func, space)
                options = {
                    keyword.arg: self._builder.loaded.evaluate(keyword.value, space)
                    for keyword in call.keywords
                    if keyword.arg
                }
                return name, lambda output, target: function(output, target, **options)
            made = self._maker_of(call.func)
            if made is None:
                return None
            space = self._builder.scopes.environment(self._program.scope_of(made), [made])
            return last_name(made.func), self._builder.loaded.evaluate(made, space)
        except Exception:
            return None

    def _maker_of(self, function: ast.expr) -> ast.Call | None:
        """`nn.MSELoss()` for `criterion`, if the file anywhere says `criterion = nn.MSELoss()`."""
        name = dotted(function)
        for node in ast.walk(self._program.tree):
            if (
                name is not None
                and isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Call)
                and last_name(node.value.func).endswith("Loss")
                and any(dotted(target) == name for target in node.targets)
            ):
                return node.value
        if isinstance(function, ast.Call) and last_name(function.func).endswith("Loss"):
            return function  # nn.MSELoss()(output, target)
        return None
