"""The shapes of tensors, as far as the code tells them: literal sizes, `nn.Linear`, `squeeze`, `view`, data sets.

A shape that isn't told is None. `MANY` is an axis as long as the batch; an axis of None may have any length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from gradsense.program import containers
from gradsense.program.knowledge import classes
from gradsense.program.knowledge import shapes as known
from gradsense.program.run import Run
from gradsense.program.state import State
from gradsense.program.values import (
    DATA,
    MANY,
    NONE,
    NOTHING,
    PLAIN,
    UNKNOWN,
    Axis,
    Collection,
    Const,
    Instance,
    Keywords,
    Obj,
    Shape,
    Tensor,
    TupleValue,
    Unknown,
    Value,
)

_MOST_AXES = 6
SCALAR = Shape(())


def shape_of(value: Value) -> Shape | None:
    """The shape of an operand: a number has no axes."""
    if isinstance(value, Tensor):
        return value.shape
    return SCALAR if isinstance(value, Const) and isinstance(value.value, (int, float)) else None


def with_shape(result: Value, shape: Shape | None) -> Value:
    """`result` with what is known of its shape now."""
    if not isinstance(result, Tensor) or result.shape == shape:
        return result
    return result._replace(shape=shape if shape is None or len(shape.axes) <= _MOST_AXES else None)


# -- what gives a tensor its shape --


def after_operator(op: str, operands: tuple[Value, ...], result: Value) -> Value:
    """`result` of arithmetic or a comparison."""
    if not isinstance(result, Tensor):
        return result
    shape = shape_of(operands[0])
    for operand in operands[1:]:
        shape = None if op == "@" else broadcast(shape, shape_of(operand))
    return with_shape(result, shape)


def after_method(
    run: Run, state: State, tensor: Tensor, name: str, args: tuple[Value, ...], keywords: Keywords, result: Value
) -> Value:
    """`result` of `tensor.name(...)`."""
    if not isinstance(result, Tensor):
        return result
    return with_shape(result, _of_operation(run, state, name, tensor.shape, args, keywords))


def arranged(
    run: Run, state: State, receiver: Unknown, name: str, args: tuple[Value, ...], keywords: Keywords
) -> Value:
    """`x.view(-1, 784)`, `x.flatten(1)` of something not known: a tensor of as many axes, where they are told."""
    shape = _of_operation(run, state, name, None, args, keywords)
    return receiver if shape is None else _shaped(receiver, shape)


def _shaped(value: Unknown, shape: Shape) -> Tensor:
    return DATA._replace(shape=shape) if value.data else Tensor(open=True, shape=shape)


def after_function(
    run: Run, state: State, name: str, args: tuple[Value, ...], keywords: Keywords, result: Value
) -> Value:
    """`result` of a function of torch, by its canonical name."""
    head, _, last = name.rpartition(".")
    if head not in ("torch", "torch.nn.functional", "torch.special"):
        return result
    named = dict(keywords)
    if not args and "input" in named:
        args = (named["input"],)
    if last in known.MADE_OF_SIZES or last in known.MADE_LIKE or last in ("tensor", "as_tensor", "arange", "linspace"):
        return with_shape(result, _fresh(run, state, last, args, keywords))
    if last in ("flatten", "reshape") and isinstance(result, Unknown):
        shape = _of_operation(run, state, last, None, args[1:], keywords)
        return result if shape is None else _shaped(result, shape)
    if not isinstance(result, Tensor):
        return result
    if not args:
        return with_shape(result, None)
    if last == "linear":
        given = args[1] if len(args) > 1 else named.get("weight")
        weight = shape_of(given) if given is not None else None
        return with_shape(result, _last_axis(shape_of(args[0]), weight.axes[0] if weight and weight.axes else None))
    return with_shape(result, _of_operation(run, state, last, shape_of(args[0]), args[1:], keywords))


def after_layer(state: State, layer: Instance, name: str, args: tuple[Value, ...], result: Value) -> Value:
    """`result` of a layer of `torch.nn`."""
    if name == "torch.nn.Flatten" and isinstance(result, Unknown) and not state.attribute(layer.obj, "start_dim"):
        return _shaped(result, Shape((MANY, None)))
    if not isinstance(result, Tensor):
        return result
    last = name.rpartition(".")[2]
    given = shape_of(args[0]) if args else None
    if last in ("Linear", "LazyLinear"):
        size = state.attribute(layer.obj, "out_features")
        return with_shape(result, _last_axis(given, size.value if isinstance(size, Const) else None))
    if last == "Flatten":
        return with_shape(result, None if state.attribute(layer.obj, "start_dim") else flattened(given, 1))
    if (spatial := known.SPATIAL_LAYERS.get(last)) is not None:
        channels = state.attribute(layer.obj, "out_channels") if last in known.CONVOLUTIONS else None
        return with_shape(result, _over_space(given, spatial, channels, last in known.CONVOLUTIONS))
    return with_shape(result, given if last in known.ELEMENTWISE_LAYERS else None)


def element(value: Value) -> Value:
    """What a loop over a tensor gives: without its first axis."""
    if not isinstance(value, Tensor):
        return value
    shape = value.shape
    return with_shape(value, Shape(shape.axes[1:]) if shape is not None and not shape.open and shape.axes else None)


def item(tensor: Value, index: Value) -> Value:
    """`tensor[index]`."""
    return with_shape(tensor, _indexed(shape_of(tensor), index))


def transposed(tensor: Tensor) -> Tensor:
    """`tensor.T`."""
    shape = tensor.shape
    swapped = Shape(shape.axes[::-1]) if shape is not None and not shape.open and len(shape.axes) <= 2 else None
    result = with_shape(tensor, swapped)
    assert isinstance(result, Tensor)
    return result


def batch_of(state: State, loader: Instance) -> Value:
    """What a loop over a data set or loader gives: tensors of a batch, where the data set is one of known tensors."""
    dataset = state.attribute(loader.obj, DATASET)
    if not isinstance(dataset, Instance):
        return PLAIN
    columns = state.attribute(dataset.obj, COLUMNS)
    size = state.attribute(loader.obj, BATCH_SIZE)
    if not isinstance(columns, TupleValue) or size == NONE:
        return PLAIN
    first: Axis = 1 if size in (None, Const(1)) else MANY
    return TupleValue(tuple(_batch_of_column(column, first) for column in columns.items))


def _batch_of_column(column: Value, first: Axis) -> Value:
    if not isinstance(column, Tensor) or not column.data:
        return PLAIN
    shape = column.shape
    rest = shape.axes[1:] if shape is not None and not shape.open and shape.axes else None
    return DATA._replace(shape=Shape((first, *rest)) if rest is not None else None)


def note_data(state: State, instance: Instance, name: str, args: tuple[Value, ...], keywords: Keywords) -> None:
    """Keep what a data set or loader of torch's is made of."""
    given = dict(keywords)
    if name == "torch.utils.data.TensorDataset":
        state.set_attribute(instance.obj, COLUMNS, TupleValue(args))
    elif name in classes.IMAGES_WITH_LABELS and given.get("transform", NONE) != NONE:
        state.set_attribute(instance.obj, COLUMNS, TupleValue((DATA, DATA)))
    elif name == "torch.utils.data.DataLoader" and not {"collate_fn", "batch_sampler", "**"} & given.keys():
        dataset = args[0] if args else given.get("dataset")
        size = args[1] if len(args) > 1 else given.get("batch_size")
        if isinstance(dataset, Instance) and len(args) < 3:
            state.set_attribute(instance.obj, DATASET, dataset)
            if size is not None:
                state.set_attribute(instance.obj, BATCH_SIZE, size)


def note_layer(state: State, instance: Instance, name: str, args: tuple[Value, ...], keywords: Keywords) -> None:
    """Keep the sizes that a layer is made with."""
    given = dict(keywords)
    if name == "torch.nn.Linear":
        for at, key in enumerate(("in_features", "out_features")):
            size = args[at] if len(args) > at else given.get(key)
            if isinstance(size, Const):
                state.set_attribute(instance.obj, key, size)
    elif name == "torch.nn.LazyLinear":
        size = args[0] if args else given.get("out_features")
        if isinstance(size, Const):
            state.set_attribute(instance.obj, "out_features", size)
    elif name.rpartition(".")[2] in known.CONVOLUTIONS:
        size = args[1] if len(args) > 1 else given.get("out_channels")
        if isinstance(size, Const):
            state.set_attribute(instance.obj, "out_channels", size)
    elif name == "torch.nn.Flatten" and (args or keywords):
        state.set_attribute(instance.obj, "start_dim", args[0] if args else given.get("start_dim", UNKNOWN))


DATASET, COLUMNS, BATCH_SIZE = "[dataset]", "[columns]", "[batch size]"


# -- shapes --


def broadcast(left: Shape | None, right: Shape | None) -> Shape | None:
    """The shape of an elementwise operation on two tensors."""
    if left is None or right is None:
        return None
    if not left.axes and not left.open:
        return right
    if not right.axes and not right.open:
        return left
    if left.open or right.open:
        return left if left == right else None
    length = max(len(left.axes), len(right.axes))
    pairs = zip(_padded(left.axes, length), _padded(right.axes, length), strict=True)
    return Shape(tuple(_broadcast_axis(a, b) for a, b in pairs))


def is_outer(left: Value, right: Value) -> bool:
    """Whether a column and a row meet: `(N, 1)` and `(N,)`, with more than one number each, as far as is told; or the
    same with further axes behind: `(N, 1, H, W)` and `(N, H, W)`.
    """
    one, other = shape_of(left), shape_of(right)
    return one is not None and other is not None and (_meet(one, other) or _meet(other, one))


def is_column(shape: Shape | None) -> bool:
    """Whether the last axis of at least two is 1."""
    return shape is not None and len(shape.axes) + shape.open >= 2 and shape.axes[-1:] == (1,)


def _meet(column: Shape, row: Shape) -> bool:
    if len(row.axes) > 1 and not row.open and not column.open and len(column.axes) == len(row.axes) + 1:
        return column.axes[1] == 1 and row.axes[0] not in (1, None) and column.axes[0] == row.axes[0]
    if not is_column(column) or row.open or len(row.axes) != 1 or row.axes[0] == 1:
        return False
    if column.open and len(column.axes) == 1:
        # Before the last axis there may be none at all: then only a row of many numbers is told to be another shape.
        return row.axes[0] is not None
    return len(column.axes) == 2 and not column.open and column.axes[0] not in (1, None)


def _padded(axes: tuple[Axis, ...], length: int) -> tuple[Axis, ...]:
    return (1,) * (length - len(axes)) + axes


def _broadcast_axis(left: Axis, right: Axis) -> Axis:
    if left == right or right == 1:
        return left
    if left == 1:
        return right
    known_axes = [axis for axis in (left, right) if axis is not None]
    return known_axes[0] if len(known_axes) == 1 else max(known_axes)


def flattened(shape: Shape | None, start: int) -> Shape | None:
    """From axis `start` on, all axes as one."""
    if start == 0:
        return Shape((_product(shape.axes if shape is not None and not shape.open else (None,)),))
    if start != 1:
        return None
    if shape is None or shape.open or not shape.axes:
        return Shape((MANY, None))
    return Shape((shape.axes[0], _product(shape.axes[1:])))


def _product(axes: Sequence[Axis]) -> Axis:
    sizes = [axis for axis in axes if axis is not None and axis != MANY]
    if len(sizes) == len(axes):
        return prod(sizes)
    return MANY if MANY in axes and None not in axes and all(size == 1 for size in sizes) else None


def _last_axis(shape: Shape | None, size: object) -> Shape | None:
    """The same shape with another last axis; before it there may be any number of others."""
    axis = size if isinstance(size, int) else None
    if shape is None or not shape.axes:
        return Shape((axis,), True)
    return shape._replace(axes=(*shape.axes[:-1], axis))


def _over_space(shape: Shape | None, spatial: int, channels: Value | None, convolves: bool) -> Shape | None:
    """The shape of a convolution or pooling over the last `spatial` axes: how long they are then isn't told."""
    if shape is None or shape.open or len(shape.axes) < spatial + 1:
        return None
    axes = list(shape.axes)
    axes[-spatial:] = [None] * spatial
    if convolves:
        size = channels.value if isinstance(channels, Const) else None
        axes[-spatial - 1] = size if isinstance(size, int) else None
    return shape._replace(axes=tuple(axes))


def _indexed(shape: Shape | None, index: Value) -> Shape | None:
    if shape is None or shape.open:
        return None
    indexes = index.items if isinstance(index, TupleValue) else (index,)
    rest = list(shape.axes)
    axes: list[Axis] = []
    for each in indexes:
        if not isinstance(each, Const):
            return None
        if each.value is None:
            axes.append(1)
        elif isinstance(each.value, bool) or not rest:
            return None
        elif isinstance(each.value, int):
            rest.pop(0)
        elif isinstance(each.value, slice):
            length = rest.pop(0)
            axes.append(length if each.value == slice(None) else None)
        else:
            return None
    return Shape((*axes, *rest), arranged=shape.arranged or any(each == NONE for each in indexes))


def _of_operation(
    run: Run, state: State, name: str, shape: Shape | None, args: tuple[Value, ...], keywords: Keywords
) -> Shape | None:
    """The shape of an operation on a tensor of `shape`, the method's or the function's name being the same."""
    if name in known.ELEMENTWISE:
        return shape
    if name in known.BINARY:
        return broadcast(shape, shape_of(args[0])) if args else None
    handler = _OPERATIONS.get(name)
    if handler is not None:
        return handler(run, state, shape, args, keywords)
    if name in known.REDUCTIONS:
        return _reduced(name, shape, args, keywords)
    return None


def _reduced(name: str, shape: Shape | None, args: tuple[Value, ...], keywords: Keywords) -> Shape | None:
    given = dict(keywords)
    axis = args[0] if args else given.get("dim", given.get("axis"))
    if axis is None and "**" not in given:
        return SCALAR
    at = _position(shape, axis)
    keep = args[1] if len(args) > 1 else given.get("keepdim", Const(False))
    if shape is None or at is None or not isinstance(keep, Const):
        return None
    return shape._replace(axes=(*shape.axes[:at], *((1,) if keep.value else ()), *shape.axes[at + 1 :]))


def _position(shape: Shape | None, axis: Value | None) -> int | None:
    """The position among the known axes of one given by its number."""
    if shape is None or not isinstance(axis, Const) or not isinstance(axis.value, int):
        return None
    number = axis.value
    if number < 0:
        number += len(shape.axes)
    elif shape.open:
        return None
    return number if 0 <= number < len(shape.axes) else None


def _squeezed(run: Run, state: State, shape: Shape | None, args: tuple[Value, ...], keywords: Keywords) -> Shape | None:
    if shape is None:
        return None
    axis = args[0] if args else dict(keywords).get("dim")
    if axis is None:
        if shape.open or None in shape.axes:
            return None
        return Shape(tuple(size for size in shape.axes if size != 1))
    at = _position(shape, axis)
    if at is None or shape.axes[at] is None:
        return None
    return shape._replace(axes=(*shape.axes[:at], *shape.axes[at + 1 :])) if shape.axes[at] == 1 else shape


def _unsqueezed(
    run: Run, state: State, shape: Shape | None, args: tuple[Value, ...], keywords: Keywords
) -> Shape | None:
    axis = args[0] if args else dict(keywords).get("dim")
    if not isinstance(axis, Const) or not isinstance(axis.value, int):
        return None
    if shape is None:
        return Shape((1,), True, True) if axis.value == -1 else None
    count = len(shape.axes) + 1
    at = axis.value + count if axis.value < 0 else axis.value
    if not 0 <= at < count or (shape.open and axis.value >= 0):
        return None
    return shape._replace(axes=(*shape.axes[:at], 1, *shape.axes[at:]), arranged=True)


def _viewed(run: Run, state: State, shape: Shape | None, args: tuple[Value, ...], keywords: Keywords) -> Shape | None:
    sizes = _sizes(run, state, args)
    if not sizes:
        return None
    axes: list[Axis] = [size if size != -1 else None for size in sizes]
    if -1 in sizes:
        whole = _product(shape.axes) if shape is not None and not shape.open else None
        rest = prod(axis for axis in axes if axis is not None)
        told = whole is not None and whole != MANY and axes.count(None) == 1 and rest > 0 and whole % rest == 0
        if whole is not None and told:
            axes[sizes.index(-1)] = whole // rest
        elif whole == MANY and rest == 1 and axes.count(None) == 1:
            axes[sizes.index(-1)] = MANY
    if axes[0] is None and len(axes) > 1:
        axes[0] = MANY
    return Shape(tuple(axes), arranged=True)


def _flattened(
    run: Run, state: State, shape: Shape | None, args: tuple[Value, ...], keywords: Keywords
) -> Shape | None:
    start = args[0] if args else dict(keywords).get("start_dim", Const(0))
    if len(args) > 1 or "end_dim" in dict(keywords) or not isinstance(start, Const) or not isinstance(start.value, int):
        return None
    return flattened(shape, start.value)


def _gathered(run: Run, state: State, shape: Shape | None, args: tuple[Value, ...], keywords: Keywords) -> Shape | None:
    index = args[1] if len(args) > 1 else dict(keywords).get("index")
    return shape_of(index) if index is not None else None


def _transposed(
    run: Run, state: State, shape: Shape | None, args: tuple[Value, ...], keywords: Keywords
) -> Shape | None:
    if shape is None or shape.open or len(shape.axes) > 2:
        return None
    return Shape(shape.axes[::-1])


def _swapped(run: Run, state: State, shape: Shape | None, args: tuple[Value, ...], keywords: Keywords) -> Shape | None:
    given = dict(keywords)
    one, other = (
        _position(shape, args[at] if len(args) > at else given.get(key)) for at, key in enumerate(("dim0", "dim1"))
    )
    if shape is None or one is None or other is None:
        return None
    axes = list(shape.axes)
    axes[one], axes[other] = axes[other], axes[one]
    return shape._replace(axes=tuple(axes))


def _permuted(run: Run, state: State, shape: Shape | None, args: tuple[Value, ...], keywords: Keywords) -> Shape | None:
    sizes = _sizes(run, state, args) or ()
    order = [_position(shape, Const(size)) for size in sizes]
    if shape is None or shape.open or None in order or sorted(order) != list(range(len(shape.axes))):  # type: ignore[type-var]
        return None
    return shape._replace(axes=tuple(shape.axes[at] for at in order if at is not None))


_OPERATIONS: dict[str, Callable[[Run, State, Shape | None, tuple[Value, ...], Keywords], Shape | None]] = {
    "squeeze": _squeezed,
    "unsqueeze": _unsqueezed,
    "view": _viewed,
    "reshape": _viewed,
    "flatten": _flattened,
    "gather": _gathered,
    "t": _transposed,
    "transpose": _swapped,
    "swapaxes": _swapped,
    "permute": _permuted,
    "item": lambda run, state, shape, args, keywords: SCALAR,
}


def _sizes(run: Run, state: State, args: tuple[Value, ...]) -> list[int | None] | None:
    """The sizes given as numbers, or as one tuple of numbers: None for one that isn't told."""
    if len(args) == 1 and not isinstance(args[0], Const):
        items = containers.exact_items(run, state, args[0])
        if items is None:
            return None
        args = items
    return [
        arg.value if isinstance(arg, Const) and isinstance(arg.value, int) and not isinstance(arg.value, bool) else None
        for arg in args
    ]


def _fresh(run: Run, state: State, name: str, args: tuple[Value, ...], keywords: Keywords) -> Shape | None:
    """The shape of new data."""
    given = dict(keywords)
    if name in known.MADE_LIKE:
        return shape_of(args[0]) if args else None
    if name in ("tensor", "as_tensor"):
        return _of_literal(run, state, args[0]) if args else None
    if name == "arange":
        sizes = _sizes(run, state, args)
        return Shape((sizes[0] if sizes and len(sizes) == 1 else None,))
    if name == "linspace":
        steps = args[2] if len(args) > 2 else given.get("steps")
        return Shape((steps.value if isinstance(steps, Const) and isinstance(steps.value, int) else None,))
    if name in ("full", "randint", "normal"):
        at = {"full": 0, "randint": 2 if len(args) > 2 else 1, "normal": 2}[name]
        size = args[at] if len(args) > at else given.get("size")
        sizes = _sizes(run, state, (size,)) if size is not None else None
    else:
        sizes = _sizes(run, state, args or ((given["size"],) if "size" in given else ()))
    return Shape(tuple(size if size != -1 else None for size in sizes)) if sizes is not None else None


def _of_literal(run: Run, state: State, value: Value, within: frozenset[Obj] = NOTHING) -> Shape | None:
    """`torch.tensor([[1.0], [2.0]])`; `within` are the lists that `value` lies in."""
    if isinstance(value, Collection):
        if value.obj in within:
            return None
        within |= {value.obj}
    if isinstance(value, Const):
        return SCALAR if isinstance(value.value, (int, float)) else None
    if isinstance(value, Tensor):
        return shape_of(value)
    items = containers.exact_items(run, state, value) if isinstance(value, (Collection, TupleValue)) else None
    if not items:
        return None
    inner = {_of_literal(run, state, each, within) for each in items}
    first = inner.pop()
    return None if inner or first is None or first.open else Shape((len(items), *first.axes))
