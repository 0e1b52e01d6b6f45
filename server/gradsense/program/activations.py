"""What is known of a tensor's values by the last operation on them: an activation, a linear layer, a rearrangement."""

from __future__ import annotations

from collections.abc import Iterable

from gradsense.program.knowledge import activations as known
from gradsense.program.run import Frame, Run
from gradsense.program.state import State
from gradsense.program.values import (
    NOTHING,
    PLAIN,
    Activation,
    Collection,
    Const,
    Instance,
    Keywords,
    Parameters,
    Tensor,
    TupleValue,
    Value,
    options_of,
)


def after_method(
    frame: Frame, tensor: Tensor, name: str, args: tuple[Value, ...], keywords: Keywords, result: Value, at: int
) -> Value:
    """`result` of `tensor.name(...)`, with what is known of its values."""
    if not isinstance(result, Tensor):
        return result
    kind = known.METHODS.get(name)
    if kind is not None:
        return _marked(result, Activation(kind, frame.site(at), None, *_axis(args, keywords, 0)))
    if name in known.PICKING_METHODS:
        return picked(_with(result, tensor.activations))
    if name in known.REARRANGING_METHODS:
        return _with(result, tensor.activations if name in known.AXES_STAY else _moved(tensor.activations))
    if name in known.CASTS:
        return _with(result, _cast(tensor.activations, args, keywords))
    if name == "log":
        return _with(result, _logs(frame, tensor.activations, at))
    return _with(result, NOTHING)


def after_function(
    frame: Frame, name: str, args: tuple[Value, ...], keywords: Keywords, result: Value, at: int
) -> Value:
    """The same for a function of torch, by its canonical name."""
    kind = known.FUNCTIONS.get(name)
    if kind is not None:
        axis = (None, True) if kind in (known.CONSTANT, known.ONE_HOT) else _axis(args, keywords, 1)
        return _marked(_as_tensor(result), Activation(kind, frame.site(at), None, *axis))
    if dict(keywords).get("reduction") == Const("none") and isinstance(result, Tensor):
        return _marked(result, Activation(known.UNREDUCED, frame.site(at)))
    rearranges, logs = name in known.REARRANGING_FUNCTIONS, name == "torch.log"
    if not (rearranges or logs) or not isinstance(result, Tensor):
        return result
    given = args[0] if args else next((value for key, value in keywords if key == "input"), None)
    if not isinstance(given, Tensor):
        return result
    if logs:
        return _with(result, _logs(frame, given.activations, at))
    last = name.rpartition(".")[2]
    result = _with(result, given.activations if last in known.AXES_STAY else _moved(given.activations))
    return picked(result) if last in known.PICKING_METHODS else result


def after_layer(
    frame: Frame, state: State, layer: Instance, name: str, args: tuple[Value, ...], result: Value, at: int
) -> Value:
    """The same for a layer of `torch.nn`."""
    axis = state.attribute(layer.obj, "dim")
    kind = known.LAYERS.get(name)
    if kind is not None:
        axes = (() if axis is None else (axis,)) if name != "torch.nn.Softmax2d" else (Const(-3),)
        return _marked(_as_tensor(result), Activation(kind, frame.site(at), layer.obj, *_axis(axes, (), 0)))
    if state.attribute(layer.obj, "reduction") == Const("none") and isinstance(result, Tensor):
        return _marked(result, Activation(known.UNREDUCED, frame.site(at), layer.obj))
    if name in known.REARRANGING_LAYERS and isinstance(result, Tensor) and args and isinstance(args[0], Tensor):
        return _with(result, args[0].activations if name == "torch.nn.Identity" else _moved(args[0].activations))
    return result


def note_layer(state: State, layer: Instance, name: str, args: tuple[Value, ...], keywords: Keywords) -> None:
    """Keep the axis or reduction that a layer is made with."""
    given = dict(keywords)
    if name in ("torch.nn.Softmax", "torch.nn.LogSoftmax") and (axis := args[0] if args else given.get("dim")):
        state.set_attribute(layer.obj, "dim", axis)
    if (reduction := given.get("reduction")) is not None:
        state.set_attribute(layer.obj, "reduction", reduction)


def after_operator(op: str, operands: tuple[Value, ...], result: Value) -> Value:
    """The same for arithmetic: numbers for each sample stay that."""
    if not isinstance(result, Tensor) or op not in _ARITHMETIC:
        return result
    for operand in operands:
        if isinstance(operand, Tensor) and operand.activations:
            kept = frozenset(a for a in operand.activations if a.kind == known.UNREDUCED)
            if kept == operand.activations:
                return _with(result, kept)
    return result


_ARITHMETIC = frozenset({"+", "-", "*", "/", "**"})


def picked(value: Value) -> Value:
    """Some numbers of a tensor: of a loss for each sample, perhaps a single one."""
    if not isinstance(value, Tensor) or not value.activations:
        return value
    return _with(value, frozenset(a for a in _moved(value.activations) if a.kind != known.UNREDUCED))


def indexed(tensor: Tensor) -> Value:
    """`tensor[index]`: perhaps a single number, perhaps without some axes."""
    kept = (activation for activation in tensor.activations if activation.kind != known.UNREDUCED)
    return _with(tensor, frozenset(each._replace(axis=None, axis_before=each.axis) for each in kept))


def transposed(tensor: Tensor) -> Tensor:
    """`tensor.T`."""
    return tensor._replace(activations=_moved(tensor.activations)) if tensor.activations else tensor


def _moved(activations: frozenset[Activation]) -> frozenset[Activation]:
    """The same where the axes may be others: which one was taken can't be told by its number any more."""
    return frozenset(
        activation
        if activation.axis is None and activation.axis_before is None
        else activation._replace(axis=None, axis_given=True, axis_before=None)
        for activation in activations
    )


def read(run: Run, values: Iterable[Value]) -> None:
    """Note that values went into something that is no call of torch's: an operator, code that is not known."""
    for value in values:
        if isinstance(value, TupleValue):
            read(run, value.items)
            continue
        for option in options_of(value):
            if isinstance(option, Tensor):
                run.activations_read.update(activation.site for activation in option.activations)


def _as_tensor(result: Value) -> Tensor:
    """A result that is a tensor whatever went in."""
    if isinstance(result, Tensor):
        return result
    assert not isinstance(result, (Collection, Parameters))
    return Tensor(requires=False, data=True) if result == PLAIN else Tensor(open=True)


def _marked(result: Tensor, activation: Activation) -> Tensor:
    return result._replace(activations=frozenset((activation,)))


def _with(result: Tensor, activations: frozenset[Activation]) -> Tensor:
    return result if result.activations == activations else result._replace(activations=activations)


def _axis(args: tuple[Value, ...], keywords: Keywords, position: int) -> tuple[int | None, bool]:
    """The axis given at `position` or as `dim`, where it is a constant, and whether one is given at all."""
    value = args[position] if position < len(args) else dict(keywords).get("dim", dict(keywords).get("axis"))
    if value is None:
        return None, "**" in dict(keywords)
    if isinstance(value, Const) and (value.value is None or isinstance(value.value, int)):
        return value.value, value.value is not None
    return None, True


def _cast(activations: frozenset[Activation], args: tuple[Value, ...], keywords: Keywords) -> frozenset[Activation]:
    """Those that a cast leaves as they are: an integer encoding may be one of numbers now."""
    device = len(args) == 1 and not keywords and isinstance(args[0], Const) and isinstance(args[0].value, str)
    return activations if device else frozenset(a for a in activations if a.kind != known.ONE_HOT)


def _logs(frame: Frame, activations: frozenset[Activation], at: int) -> frozenset[Activation]:
    """The logarithm of softmax, where it is that for certain."""
    if not activations or any(activation.kind != known.SOFTMAX for activation in activations):
        return NOTHING
    return frozenset(
        Activation(known.LOG_OF_SOFTMAX, frame.site(at), None, activation.axis, activation.axis_given, activation.site)
        for activation in activations
    )
