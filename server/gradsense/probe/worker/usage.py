"""How the file uses the model: what it passes to it, and which criterion judges what it returns."""

from __future__ import annotations

import ast
import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .batch import Node, Value, leaves
from .build import Builder, Built
from .cautious import Overdue
from .instances import Instances
from .load import Loaded
from .loaders import first_batch, without_workers
from .names import dotted, last_name, parameters
from .program import Program, Scope
from .samples import few, node_of
from .scopes import Scopes

_LOSSES = frozenset(
    (
        "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss",
        "binary_cross_entropy", "binary_cross_entropy_with_logits",
    )
)  # fmt: skip
_FACTORIES = frozenset(("randn", "rand", "zeros", "ones", "randint", "arange", "tensor", "full", "empty"))
_MOST_CALLS = 6  # of a file


@dataclass(frozen=True)
class Criterion:
    """The loss that a file computes: its words for the report, the function of output and target, the target's name,
    and what the file passes as one, if that costs nothing to find out."""

    words: str
    function: Callable[[Any, Any], Any]
    target: str
    shown: Node | None = None


@dataclass(frozen=True)
class Shown:
    """An argument as a file passes it, and where it does."""

    node: Node
    where: str

    def is_like(self, node: Node) -> bool:
        """Is it the same as `node` but for the numbers in them?"""
        if isinstance(node, Value):
            return node is self.node
        forms = [[(leaf.shape, leaf.kind) for leaf in leaves(each)] for each in (node, self.node)]
        return forms[0] == forms[1]


@dataclass(frozen=True)
class _Place:
    """A file that may call the model; `label` is empty for the probed one."""

    loaded: Loaded
    scopes: Scopes
    instances: Instances
    label: str = ""

    @property
    def program(self) -> Program:
        return self.loaded.program

    def where(self, node: ast.expr) -> str:
        return f"as on {self.label}:{node.lineno}" if self.label else f"as on line {node.lineno}"


class Usage:
    """The uses of `built.model`: in its file under the name that it has there, and in other files."""

    def __init__(self, builder: Builder, built: Built) -> None:
        self._builder = builder
        self._program = builder.program
        self._names = self._names_of(built.variable)
        instances = Instances(builder.program, {builder.name})
        self._own = _Place(builder.loaded, Scopes(builder.loaded, guesses=False), instances)

    def inputs(self, names: list[str], needed: set[str]) -> dict[str, Shown]:
        """What files pass for the arguments `names`, those of one call where it shows all that are `needed`."""
        found: dict[str, Shown] = {}
        for place in self._places():
            calls = (call for call in place.program.calls() if self._is_call(place, call))
            for call in itertools.islice(calls, _MOST_CALLS):
                shown = self._passed(place, call, names)
                if needed <= shown.keys():
                    return shown
                found = {**shown, **found}
        return found

    def batch(self, name: str, own_loader: ast.AST | None, model: Any) -> Shown | None:
        """The first batch that a Trainer would get, from the model itself or with a call of `fit`; `own_loader` is the
        model's `train_dataloader`, if it has one."""
        caution = self._builder.caution
        if own_loader is not None:
            with contextlib.suppress(Exception, Overdue), caution.active(), without_workers():
                batch = first_batch(model.train_dataloader())
                return Shown(node_of(name, few(batch), True), f"as on line {getattr(own_loader, 'lineno', 0)}")
        for place in self._places():
            for call in place.program.calls():
                source = _fitted_on(call) if last_name(call.func) == "fit" else None
                if source is None or not place.instances.is_one(call.args[0]):
                    continue
                with contextlib.suppress(Exception, Overdue):
                    loader = self._value(place, source, call)
                    with caution.active():
                        return Shown(node_of(name, few(first_batch(loader)), True), place.where(call))
        return None

    def criterion(self) -> Criterion | None:
        """The first criterion that is called on what the model returns, in a program rather than in a test."""
        for place in self._places(tests=False):
            for call in place.program.calls():
                if len(call.args) == 2 and self._is_output(place, call.args[0], call):
                    function = self._loss(place, call)
                    if function is not None:
                        target = call.args[1]
                        name = target.id if isinstance(target, ast.Name) else "target"
                        words, run = function
                        shown = self._passed(place, call, ["", name]).get(name)
                        where = place.where(call)
                        return Criterion(f"{words} {where}", run, name, shown.node if shown is not None else None)
        return None

    def _places(self, tests: bool = True) -> Iterator[_Place]:
        yield self._own
        for user in self._builder.users:
            if tests or not user.is_test:
                yield _Place(user.other, user.other.scopes, user.instances, user.label)

    def _is_call(self, place: _Place, call: ast.Call) -> bool:
        named = not place.label and dotted(call.func) in self._names
        return (named or place.instances.is_one(call.func)) and not place.instances.is_to_fail(call)

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

    def _passed(self, place: _Place, call: ast.Call, names: list[str]) -> dict[str, Shown]:
        """The arguments of a call as far as they can be had for nothing."""
        written = {each.arg: each.value for each in call.keywords if each.arg in names}
        for name, argument in zip(names, call.args):
            if isinstance(argument, ast.Starred):
                break
            written[name] = argument
        values: dict[str, Any] = {}
        for name, argument in written.items():
            if not name:
                continue
            with contextlib.suppress(Exception, Overdue):
                values[name] = self._value(place, argument, call)
        values = few(values)
        return {
            name: Shown(node_of(name, value, not self._is_made_up(place, written[name], call)), place.where(call))
            for name, value in values.items()
        }

    def _value(self, place: _Place, argument: ast.expr, call: ast.Call) -> Any:
        """The value of an argument. Raises what its code raises, and what `Caution` does."""
        is_made_up = self._is_made_up(place, argument, call)
        # The sizes of what is made up may be guessed, as those of layers are.
        scopes = self._builder.scopes if is_made_up and not place.label else place.scopes
        with self._builder.caution.active(), without_workers():
            space = scopes.environment(place.program.scope_of(call), [argument], in_loops=True)
            return place.loaded.evaluate(argument, space)

    def _is_made_up(self, place: _Place, argument: ast.expr, call: ast.Call) -> bool:
        """Is it a tensor that the code makes for the call, of numbers that mean nothing?"""
        value: ast.expr | None = argument
        if isinstance(argument, ast.Name):
            value = place.instances.assigned(argument.id, call)
        return isinstance(value, ast.Call) and last_name(value.func) in _FACTORIES

    def _is_output(self, place: _Place, node: ast.expr, call: ast.Call) -> bool:
        """Is it `model(…)`, or a name that last got `model(…)`?"""
        if isinstance(node, ast.Name):
            assigned = place.instances.assigned(node.id, call)
            return (
                assigned is not None and not isinstance(assigned, ast.Name) and self._is_output(place, assigned, call)
            )
        return isinstance(node, ast.Call) and self._is_call(place, node)

    def _loss(self, place: _Place, call: ast.Call) -> tuple[str, Callable[[Any, Any], Any]] | None:
        """The criterion that `call` calls: a function of torch's, or an object of a `…Loss` class."""
        name = last_name(call.func)
        try:
            if name in _LOSSES:
                scope = place.program.scope_of(call)
                parts = [call.func, *(keyword.value for keyword in call.keywords)]
                space = self._environment(place, scope, parts)
                function = place.loaded.evaluate(call.func, space)
                options = {
                    keyword.arg: place.loaded.evaluate(keyword.value, space) for keyword in call.keywords if keyword.arg
                }
                return name, lambda output, target: function(output, target, **options)
            made = self._maker_of(place, call.func)
            if made is None:
                return None
            space = self._environment(place, place.program.scope_of(made), [made])
            return last_name(made.func), place.loaded.evaluate(made, space)
        except (Exception, Overdue):
            return None

    def _environment(self, place: _Place, scope: Scope, parts: list[ast.expr]) -> dict[str, Any]:
        if not place.label:
            return self._builder.scopes.environment(scope, parts)
        with self._builder.caution.active():
            return place.scopes.environment(scope, parts)

    def _maker_of(self, place: _Place, function: ast.expr) -> ast.Call | None:
        """`nn.MSELoss()` for `criterion`, if the file anywhere says `criterion = nn.MSELoss()`."""
        name = dotted(function)
        for node in place.program.nodes:
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


def _fitted_on(call: ast.Call) -> ast.expr | None:
    """What `trainer.fit(model, loader)` is given besides the model."""
    if not call.args:
        return None
    if len(call.args) > 1:
        return call.args[1]
    names = ("train_dataloaders", "datamodule")
    return next((each.value for each in call.keywords if each.arg in names), None)
