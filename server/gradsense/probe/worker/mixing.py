"""Samples that leak into each other: what a model makes of one sample changes with the others of its batch.

Each sample in turn is replaced, and the outputs are compared: an element that two samples change is a mixture. Batch
norm mixes on purpose and is in eval mode meanwhile. Where the first mixture arises is found by the same comparison of
every operation's result.

The first dimension need not be the batch: sequences, sets of points and the nodes of a graph are passed so, too.
What must hold before anything is said: the outputs have the samples' dimension, however many there are; no other
dimension can be the batch, or the code says that the first one is; a layer mixes that would not if that were so.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .modes import told_of_operations
from .numerics import seed
from .outputs import tensors_of
from .values import tensors_in, with_tensors
from .where import Line, Origins

_MOST_SAMPLES = 8
_MOST_ELEMENTS = 8_000_000
"""Of all operations' results together, for the search for the line."""
_TOLERANCE = 1e-5
_BATCH_NAMES = frozenset("b bs bsz bsize batch batchsize batch_size nbatch n_batch num_batch batch_dim".split())
_SEQUENCE_NAMES = frozenset("t seq_len seqlen sequence_length length seq steps time n_nodes num_nodes".split())
_RECURRENT = frozenset(("lstm", "gru", "rnn_tanh", "rnn_relu"))
_ATTENTION = frozenset(("multi_head_attention_forward",))
_RESHAPES = frozenset(("view", "reshape", "flatten", "unflatten", "view_as", "reshape_as"))
_SOFTMAX = frozenset(("softmax", "log_softmax", "_softmax"))


class Mixing:
    """The check of one module on the arguments of one call. `seconds` is how long it may take."""

    def __init__(self, module: Any, args: Any, origins: Origins, body: ast.AST | None, seconds: float) -> None:
        self._module = module
        self._args = args
        self._origins = origins
        self._first = _first_dimension(body)
        self._deadline = time.thread_time() + seconds
        self.too_large = False
        """The time was too short for an answer."""

    def found(self) -> dict[str, Any] | None:
        """Where samples mix: `operation`, `place`, and what more the message needs; None where they don't, or where
        that can't be told. Raises what the model raises."""
        import torch

        size = self._size()
        if size is None or self._first == "sequence":
            return None
        with torch.no_grad(), _batch_norms_off(self._module) as possible:
            if not possible:
                return None
            begun = time.thread_time()
            base = self._run(self._args)
            if time.thread_time() + (time.thread_time() - begun) * (size + 2) > self._deadline:
                self.too_large = True
                return None
            if not _equal(base, self._run(self._args)) or not self._mixes(base, 0, size):
                return None
            if not self._follows(base, size) or (self._first is None and self._another_batch(base, size)):
                return None
            return self._located(size)

    def _size(self) -> int | None:
        """How many samples there are, if all tensors agree."""
        tensors = [each for each in tensors_in(self._args) if each.dim()]
        sizes = {len(each) for each in tensors}
        if len(sizes) != 1:
            return None
        size = int(sizes.pop())
        square = len(tensors) > 1 and any(
            tuple(each.shape) == (size, size) for each in tensors
        )  # who is whose neighbour
        return size if 2 <= size <= _MOST_SAMPLES and not square else None

    def _run(self, args: Any) -> list[Any]:
        seed()
        return [each.detach().clone() for each in tensors_of(self._module(*args))]

    def _changed(self, dimension: int, index: int) -> Any:
        """The arguments with one slice nearer to its neighbour: what is between two samples is a sample."""
        import torch

        def change(tensor: Any) -> Any:
            if tensor.dim() <= dimension:
                return tensor
            size = tensor.shape[dimension]
            slices = list(tensor.unbind(dimension))
            if index >= size:
                return tensor
            other = slices[(index + 1) % size]
            if tensor.is_floating_point() or tensor.is_complex():
                other = slices[index] * 0.25 + other * 0.75
            slices[index] = other
            return torch.stack(slices, dimension)

        return with_tensors(self._args, change)

    def _mixes(self, base: list[Any], dimension: int, size: int) -> bool:
        """Does any element of an output change with two slices along `dimension`?"""
        counts: list[Any] = [0] * len(base)
        for index in range(size):
            outputs = self._run(self._changed(dimension, index))
            if len(outputs) != len(base):
                return False
            for position, (before, after) in enumerate(zip(base, outputs)):
                if before.shape != after.shape:
                    return False
                if dimension or (before.dim() and len(before) == size):
                    counts[position] = counts[position] + _differs(before, after)
        return any(not isinstance(each, int) and bool((each > 1).any()) for each in counts)

    def _follows(self, base: list[Any], size: int) -> bool:
        """Do the outputs have one sample less where the inputs have? A matrix of samples by samples has two."""
        try:
            fewer = self._run(with_tensors(self._args, lambda tensor: tensor[:-1] if tensor.dim() else tensor))
        except Exception:
            return False
        shapes = [(tuple(each.shape), tuple(less.shape)) for each, less in zip(base, fewer)]
        return bool(shapes) and all(
            less == (size - 1, *shape[1:]) for shape, less in shapes if shape and shape[0] == size
        )

    def _another_batch(self, base: list[Any], size: int) -> bool:
        """Is there another dimension whose slices don't mix? Then that one is the batch."""
        tensors = [each for each in tensors_in(self._args) if each.dim()]
        for dimension in range(1, max(each.dim() for each in tensors)):
            sizes = {each.shape[dimension] for each in tensors if each.dim() > dimension}
            if len(sizes) != 1:
                continue
            other = int(sizes.pop())
            if other < 2 or not all(other in each.shape for each in base):
                continue
            if not self._mixes(base, dimension, min(other, 4 * _MOST_SAMPLES)):
                return True
        return False

    # Where.

    def _located(self, size: int) -> dict[str, Any] | None:
        """The first operation that mixes, of those that the outputs are made of."""
        base = _Trace(self._origins)
        self._traced(base, self._args)
        if base.elements > _MOST_ELEMENTS:
            self.too_large = True
            return None
        for index in range(size):
            other = _Trace(self._origins)
            self._traced(other, self._changed(0, index))
            if [each.name for each in other.operations] != [each.name for each in base.operations]:
                return None
            for before, after in zip(base.operations, other.operations):
                before.compare(after, index)
        return self._judged(base, size)

    def _traced(self, trace: _Trace, args: Any) -> None:
        seed()
        for each in tensors_in(args):
            trace.start(each)
        with trace.active():
            trace.ends = list(tensors_of(self._module(*args)))

    def _judged(self, trace: _Trace, size: int) -> dict[str, Any] | None:
        found = trace.first_mixture()
        if found is None:
            return None
        operation, inputs = found
        told: dict[str, Any] = {"kind": "mixes", "operation": operation.name, "certain": False}
        ranks = [each.dim() for each in tensors_in(self._args) if each.is_floating_point()]
        is_batch = self._first == "batch" or max(ranks, default=0) >= 3
        layer = operation.layer
        scrambled = trace.scrambled(inputs)
        if scrambled is not None:
            operation = scrambled
            told.update(operation=operation.name, certain=is_batch, reshaped=True)
        elif operation.name in _RECURRENT or operation.name in _ATTENTION:
            # Of (samples, 1, features) or (samples, features) the sequence may well be meant.
            shape = operation.layer_input or ()
            if len(shape) != 3 or shape[0] != size or shape[1] == 1 or not is_batch:
                return None
            if getattr(layer, "batch_first", True):
                return None
            made = self._origins.places.place(self._origins.of_module(layer))
            told.update(certain=True, layer=type(layer).__name__, shape=list(shape), made=made)
        elif not is_batch and not (operation.name in _SOFTMAX and operation.over_first):
            return None
        told["place"] = self._origins.places.place(operation.line)
        return told if told["place"] is not None else None


class _Operation:
    """One operation of a run: its result, and which samples have changed which elements of it."""

    def __init__(self, name: str, line: Line | None, inputs: list[int], result: Any) -> None:
        self.name = name
        self.line = line
        self.inputs = inputs
        self.result = result
        self.layer: Any = None
        self.layer_input: tuple[int, ...] | None = None
        self.over_first = False
        self.counts: Any = 0
        self.samples: list[Any] = []

    def compare(self, other: _Operation, index: int) -> None:
        if self.result.shape == other.result.shape:
            changed = _differs(self.result, other.result)
            self.counts = self.counts + changed
            self.samples.append(changed)

    @property
    def mixes(self) -> bool:
        return not isinstance(self.counts, int) and bool((self.counts > 1).any())

    @property
    def is_pure(self) -> bool:
        """Is there a dimension each of whose slices one sample alone has changed?"""
        if not self.samples:
            return True
        rank = self.samples[0].dim()
        for dimension in range(rank):
            others = [each for each in range(rank) if each != dimension]
            slices = sum((each.int().amax(others) if others else each.int()) for each in self.samples)
            if bool((slices <= 1).all()):
                return True
        return False


class _Trace:
    """Every operation of one run, in order, with the user's line."""

    def __init__(self, origins: Origins) -> None:
        self.operations: list[_Operation] = []
        self.elements = 0
        self.ends: list[Any] = []
        self._places = origins.places
        self._of: dict[int, int] = {}
        self._alive: list[Any] = []
        self._layers: list[tuple[Any, tuple[int, ...] | None]] = []

    @contextmanager
    def active(self) -> Iterator[None]:
        import torch
        from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

        def enter(module: Any, args: Any) -> None:
            given = args[0] if args else None
            self._layers.append((module, tuple(given.shape) if isinstance(given, torch.Tensor) else None))

        def leave(module: Any, args: Any, output: Any) -> None:
            self._layers.pop()

        hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
        try:
            with told_of_operations(self._operation):
                yield
        finally:
            for each in hooks:
                each.remove()

    def start(self, tensor: Any) -> None:
        self._add(_Operation("", None, [], tensor.detach()), tensor)

    def _operation(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        result = function(*args, **kwargs)
        self._note(getattr(function, "__name__", ""), args, kwargs, result)
        return result

    def _note(self, name: str, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        import torch

        line = self._places.current(sys._getframe(2))
        inputs = [self._of[id(each)] for each in tensors_in([*args, kwargs]) if id(each) in self._of]
        # What writes into its first argument makes that one new.
        results = [args[0]] if args and name == "__setitem__" else list(tensors_in(result))
        for tensor in results:
            if self.elements > _MOST_ELEMENTS or not isinstance(tensor, torch.Tensor):
                return
            if not inputs:
                continue
            operation = _Operation(name, line, inputs, tensor.detach().clone())
            if self._layers:
                operation.layer, operation.layer_input = self._layers[-1]
            dimension = kwargs.get("dim", args[1] if len(args) > 1 else None)
            operation.over_first = isinstance(dimension, int) and dimension in (0, -tensor.dim())
            self._add(operation, tensor)

    def _add(self, operation: _Operation, tensor: Any) -> None:
        self._of[id(tensor)] = len(self.operations)
        self.operations.append(operation)
        self._alive.append(tensor)
        self.elements += tensor.numel()

    def first_mixture(self) -> tuple[_Operation, list[int]] | None:
        """Going back from the outputs: a mixture none of whose inputs is one."""
        todo = [self._of[id(each)] for each in self.ends if id(each) in self._of]
        seen: set[int] = set()
        while todo:
            index = todo.pop()
            if index in seen or not self.operations[index].mixes:
                continue
            seen.add(index)
            behind = [each for each in self.operations[index].inputs if self.operations[each].mixes]
            if not behind:
                return self.operations[index], self.operations[index].inputs
            todo += behind
        return None

    def scrambled(self, inputs: list[int]) -> _Operation | None:
        """The reshape on the way to `inputs` that puts several samples into each slice."""
        todo, seen = list(inputs), set(inputs)
        while todo:
            operation = self.operations[todo.pop()]
            pure_before = all(self.operations[each].is_pure for each in operation.inputs)
            if operation.name in _RESHAPES and not operation.is_pure and pure_before:
                return operation
            for each in operation.inputs:
                if each not in seen:
                    seen.add(each)
                    todo.append(each)
        return None


def _differs(before: Any, after: Any) -> Any:
    """By element; numbers that rounding alone makes different are the same."""
    import torch

    if before.dtype == torch.bool or not (before.is_floating_point() or before.is_complex()):
        return before != after
    size = float(before.abs().max()) if before.numel() else 0.0
    return (before - after).abs() > _TOLERANCE * size


def _equal(first: list[Any], second: list[Any]) -> bool:
    import torch

    return len(first) == len(second) and all(torch.equal(one, other) for one, other in zip(first, second))


@contextmanager
def _batch_norms_off(module: Any) -> Iterator[bool]:
    """Norms over the batch use their averages meanwhile, torch's and those of the user's that keep some. Gives whether
    all of them have averages."""
    import torch

    nn: Any = torch.nn
    norms = [
        each
        for each in module.modules()
        if isinstance(each, nn.modules.batchnorm._BatchNorm)
        or any(name.startswith("running") for name, _ in each.named_buffers(recurse=False))
    ]
    modes = [each.training for each in norms]
    for each in norms:
        each.training = False
    try:
        yield all(getattr(each, "running_mean", 0) is not None for each in norms)
    finally:
        for each, mode in zip(norms, modes):
            each.training = mode


def _first_dimension(body: ast.AST | None) -> str | None:
    """What the code calls the size of its input's first dimension: "batch", "sequence", or nothing that tells."""
    for node in ast.walk(body) if body is not None else ():
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target = node.targets[0]
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        values = node.value.elts if isinstance(node.value, ast.Tuple) and len(names) > 1 else None
        for position, name in enumerate(names):
            if isinstance(name, ast.Name):
                value = values[position] if values is not None and position < len(values) else node.value
                whole = values is None and len(names) > 1
                if (whole and position == 0 and _is_shape(value)) or (not whole and _is_first_size(value)):
                    if name.id.lower() in _BATCH_NAMES:
                        return "batch"
                    if name.id.lower() in _SEQUENCE_NAMES:
                        return "sequence"
    return None


def _is_shape(value: ast.AST) -> bool:
    """`x.shape` or `x.size()`."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Attribute) and value.func.attr == "size" and not value.args
    return isinstance(value, ast.Attribute) and value.attr == "shape"


def _is_first_size(value: ast.AST) -> bool:
    """`x.shape[0]`, `x.size(0)` or `len(x)`."""
    if isinstance(value, ast.Subscript):
        index = value.slice
        return _is_shape(value.value) and isinstance(index, ast.Constant) and index.value == 0
    if isinstance(value, ast.Call) and len(value.args) == 1:
        first = value.args[0]
        if isinstance(value.func, ast.Attribute) and value.func.attr == "size":
            return isinstance(first, ast.Constant) and first.value == 0
        return isinstance(value.func, ast.Name) and value.func.id == "len"
    return False
