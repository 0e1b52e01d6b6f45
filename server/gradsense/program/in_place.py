"""Changes of tensors in place: `x += y`, `x[i] = y`, `x.mul_(y)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import repeat
from operator import is_, is_not
from typing import TypeVar

from gradsense.program.facts import InPlace
from gradsense.program.run import Frame, Run
from gradsense.program.state import State
from gradsense.program.values import NOTHING, Choice, Parameters, Tensor, Trace, TupleValue, Value, combine, join

_OF_FLAGS = frozenset({"requires_grad_", "detach_", "share_memory_", "resize_", "rename_"})
"""Methods that end in an underscore and leave the numbers alone."""


def is_method(name: str) -> bool:
    """Whether a tensor's method changes its numbers in place."""
    return name.endswith("_") and not name.startswith("_") and name not in _OF_FLAGS


def change(
    run: Run, frame: Frame, state: State, value: Tensor | Parameters, operands: tuple[Value, ...], how: str, at: int
) -> Value:
    """`value` after it was changed in place: every variable and attribute that holds it holds the change."""
    run.record(InPlace(frame.site(at), run.context(frame), value, how, state.grad), frame)
    if isinstance(value, Parameters) or value.parameter is not None or state.grad is False:
        return value
    changed = combine((value, *operands), how)
    if not isinstance(changed, Tensor):
        return value
    if state.grad is None:
        changed = changed._replace(requires=None, open=True)
    elif value.needed and value.sources and value.requires:
        changed = changed._replace(trace=changed.trace.with_(Trace(changed=frozenset((frame.site(at),)))))
    changed = changed._replace(data=changed.data and value.data)
    put(state, value, changed)
    return changed


def through_data(state: State, tensor: Tensor) -> None:
    """The numbers of `tensor` were changed by way of `.data`: what its last operation told of them is over."""
    if tensor.activations:
        put(state, tensor, tensor._replace(activations=NOTHING))


def by_layer(run: Run, frame: Frame, state: State, inputs: Sequence[Value], name: str, at: int) -> None:
    """`nn.ReLU(inplace=True)(x)`: told where it matters, for a leaf and for a result that is still needed."""
    if inputs and isinstance(inputs[0], Tensor) and (inputs[0].parameter is not None or inputs[0].needed):
        change(run, frame, state, inputs[0], (), name, at)


def put_everywhere(state: State, old: Tensor, new: Tensor) -> None:
    """Every variable and attribute that holds `old`, or may, alone or in a tuple, holds `new` from here on."""
    for number, names in list(state.frames.items()):
        changed = {name: _with(value, old, new) for name, value in names.items()}
        if any(map(is_not, changed.values(), names.values())):
            state.frames[number] = changed
    for obj, held in list(state.heap.items()):
        kept = {name: _with(value, old, new) for name, value in held.items()}
        if any(map(is_not, kept.values(), held.values())):
            state.heap[obj] = kept


def put(state: State, old: Tensor, new: Tensor) -> None:
    """Every variable, or else every attribute, that holds `old` holds `new` from here on."""
    found = False
    for number, names in list(state.frames.items()):
        if _holds(names, old):
            state.frames[number] = {name: new if value is old else value for name, value in names.items()}
            found = True
    if found:
        return
    for obj, held in list(state.heap.items()):
        if _holds(held, old):
            state.heap[obj] = {name: new if value is old else value for name, value in held.items()}


V = TypeVar("V")


def _with(value: V, old: Tensor, new: Tensor) -> V:
    """A value with `new` in the place of `old`: the tensor is no longer what it was on any way."""
    if value is old:
        return new  # type: ignore[return-value]
    if isinstance(value, Choice) and any(option is old for option in value.options):
        return reduce(join, (new if option is old else option for option in value.options))  # type: ignore[return-value]
    if isinstance(value, TupleValue) and any(item is old for item in value.items):
        return replace(value, items=tuple(new if item is old else item for item in value.items))
    return value


def _holds(held: Mapping[str, object], value: Tensor) -> bool:
    """Whether something is that very tensor; asked of every object that there is, so without a step of Python for each
    of their attributes.
    """
    return any(map(is_, held.values(), repeat(value)))
