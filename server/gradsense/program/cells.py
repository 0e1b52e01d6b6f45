"""The cells of a notebook: run from top to bottom, or each as one that may be run before, after and between the others.

The second way says what holds in any order. Every cell may have been run once, and a cell begins without a claim about
gradients, modes, scalers, freed graphs and used iterators: another one may have changed them since. A name stands for
what one cell binds it to, or for any of the values that several do. What a cell sets on an object of another cell may
be anything when a cell begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import TYPE_CHECKING

from gradsense.program import statements, training
from gradsense.program.facts import Mode, ScalerStage
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, State
from gradsense.program.values import UNKNOWN, ClassValue, FunctionValue, Instance, Items, Kind, Obj, Value, join

if TYPE_CHECKING:
    from gradsense.program.file import File

_SOME_MODE = frozenset({Mode("unknown")})
_SOME_STAGE = frozenset({ScalerStage.UNKNOWN})
_DEFINED = (FunctionValue, ClassValue)


@dataclass(frozen=True, slots=True)
class Changes:
    """What the cells of a notebook change for each other: `names` that several bind to different values, with these;
    `attributes` that a cell sets on what another one has made; whether one leaves the recording of gradients
    `switched`.
    """

    names: dict[str, tuple[Value, ...]]
    attributes: frozenset[tuple[Obj, str]]
    switched: bool


def run_in_order(run: Run, frame: Frame, state: State, file: File) -> Changes:
    """Run the cells from top to bottom."""
    bound: dict[str, list[Value]] = {}
    attributes: set[tuple[Obj, str]] = set()
    switched = False
    for units in file.cells:
        before = state.copy()
        statements.run_units(run, frame, state, units)
        names = before.frames[frame.number]
        for name, value in state.frames[frame.number].items():
            if names.get(name) is not value:
                bound.setdefault(name, []).append(value)
        for obj in state.heap.differing(before.heap):
            then = before.heap.get(obj)
            now = state.attributes(obj).items()
            attributes |= {(obj, attr) for attr, value in now if then is not None and then.get(attr) != value}
        switched = switched or state.grad is not True
    several = {name: tuple(values) for name, values in bound.items() if any(value != values[0] for value in values)}
    return Changes(several, frozenset(attributes), switched)


def run_in_any_order(run: Run, frame: Frame, state: State, file: File, changes: Changes) -> None:
    """Run the cells from the `state` in which all have been run, each as one that others may have been run before."""
    for units in file.cells:
        _begin(frame, state, changes)
        statements.run_units(run, frame, state, units)
    for name, values in changes.names.items():
        if isinstance(values[-1], _DEFINED):
            # Of several definitions the last is looked at, as in a file.
            state.set_variable(frame.number, name, values[-1])


def _begin(frame: Frame, state: State, changes: Changes) -> None:
    """Forget what another cell may have changed by the time that this one is run."""
    training.forget_all_gradients(state)
    state.toggled.clear()
    state.scaled.clear()
    state.stages = dict.fromkeys(state.stages, _SOME_STAGE)
    state.replaced.clear()
    state.spent.clear()
    state.needs.clear()
    state.used_up.clear()
    state.assumed = {}
    state.modes = dict.fromkeys(state.heap, _SOME_MODE)
    if changes.switched:
        state.grad = None
    for obj, attr in changes.attributes:
        if obj in state.heap and attr == ITEMS:
            state.set_attribute(obj, attr, Items(None, UNKNOWN))
        elif obj in state.heap and not attr.startswith("["):
            state.set_attribute(obj, attr, UNKNOWN)
    for name, values in changes.names.items():
        state.set_variable(frame.number, name, reduce(join, values))
        made = [value.obj for value in values if isinstance(value, Instance) and value.kind is Kind.OPTIMIZER]
        state.exclusive |= {frozenset(pair) for pair in combinations(made, 2)}
