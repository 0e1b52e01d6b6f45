"""Changes of tensors in place: `x += y`, `x[i] = y`, `x.mul_(y)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import repeat
from operator import is_

from gradsense.program.facts import InPlace
from gradsense.program.run import Frame, Run
from gradsense.program.state import State
from gradsense.program.values import NOTHING, Choice, Parameters, Tensor, Trace, Value, combine, join

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


def put(state: State, old: Tensor, new: Tensor) -> None:
    """Every variable, or else every attribute, that holds `old` holds `new` from here on."""
    found = False
    for number, names in list(state.frames.items()):
        if _holds(names, old):
            state.frames[number] = {name: new if value is old else value for name, value in names.items()}
            found = True
        elif any(_may_be(value, old) for value in names.values()):
            # One of those that a variable may hold: the tensor is no longer what it was on any way.
            state.frames[number] = {name: _with(value, old, new) for name, value in names.items()}
            found = True
    if found:
        return
    for obj, held in list(state.heap.items()):
        if _holds(held, old):
            state.heap[obj] = {name: new if value is old else value for name, value in held.items()}


def _may_be(value: Value, old: Tensor) -> bool:
    return isinstance(value, Choice) and any(option is old for option in value.options)


def _with(value: Value, old: Tensor, new: Tensor) -> Value:
    if not isinstance(value, Choice):
        return value
    options = [new if option is old else option for option in value.options]
    return reduce(join, options)


def _holds(held: Mapping[str, object], value: Tensor) -> bool:
    """Whether something is that very tensor; asked of every object that there is, so without a step of Python for each
    of their attributes.
    """
    return any(map(is_, held.values(), repeat(value)))
