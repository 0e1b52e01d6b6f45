"""The losses of a program: the values of which gradients are computed, by `backward` or by Lightning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Backward
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.state import State
from gradsense.program.values import Code, Collection, Const, Obj, Site, Tensor, Value, options_of


class Loss(NamedTuple):
    """`value` is back-propagated at `site`: a call of `backward`, or the `return` of a `training_step`."""

    run: Run
    site: Site
    function: Code | None
    value: Value
    how: str


def losses(program: Program) -> list[Loss]:
    """Every loss that the file shows."""
    return program.derived(_losses)


def _losses(program: Program) -> list[Loss]:
    return list(_found(program))


def _found(program: Program) -> Iterator[Loss]:
    for run, backward in program.runs_with_facts(Backward):
        yield Loss(run, backward.site, backward.context.function, backward.value, backward.how)
    for facts in program.lightning_classes:
        step = facts.runs.get("training_step")
        own = next((run for run in program.runs if run.entry == f"{facts.name}.training_step"), None)
        if step is None or own is None or _is_manual(facts):
            continue
        for returned in step.returns:
            if returned.site is not None and returned.explicit:
                value = _loss_in(step.state or facts.state, returned.value)
                yield Loss(own, returned.site, step.code, value, "training_step")


def _is_manual(facts: ClassFacts) -> bool:
    """Whether the class may back-propagate by itself."""
    flag = facts.attributes.get("automatic_optimization", facts.value.members.get("automatic_optimization"))
    return flag is not None and flag != Const(True)


def _loss_in(state: State, value: Value) -> Value:
    """What Lightning back-propagates of a result of `training_step`."""
    if isinstance(value, Collection) and value.kind == "dict":
        items = state.items(value.obj)
        if items.exact is not None and items.keys is not None and "loss" in items.keys:
            return items.exact[items.keys.index("loss")]
    return value


def tensor_of(value: Value) -> Tensor | None:
    """The tensor that `value` is for certain, its parts all known; None otherwise."""
    return value if isinstance(value, Tensor) and not value.open else None


def values_of_losses(program: Program) -> list[Value]:
    """What all losses are: those of functions that the file calls in other files, too."""
    returned = [loss.value for loss in losses(program) if loss.how == "training_step"]
    return returned + [backward.value for backward in program.facts_anywhere(Backward)]


def reached(program: Program) -> frozenset[Obj] | None:
    """Everything that some loss gives a gradient to; None if that can't be told."""
    found: frozenset[Obj] = frozenset()
    for value in values_of_losses(program):
        for option in options_of(value):
            if not isinstance(option, Tensor) or option.open:
                return None
            found |= option.sources
    if program.training_is_damaged or program.incomplete:
        return None
    if program.is_called_anywhere(_OTHER_GRADIENTS):
        return None
    return found


_OTHER_GRADIENTS = frozenset({"torch.autograd.grad", "torch.autograd.backward", "Unknown.backward", "Engine.backward"})
