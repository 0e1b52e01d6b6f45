"""Being told of each operation of torch's, indexing included."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def told_of_operations(tell: Callable[[Any, Any, dict[str, Any]], Any]) -> Iterator[None]:
    """Each operation is done by `tell(function, args, kwargs)` meanwhile, which gives its result."""
    from torch.overrides import TorchFunctionMode

    class Mode(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return tell(function, args, kwargs or {})

    with contextlib.nullcontext() if _modes_see_indexing() else _shown_indexing(), Mode():
        yield


@functools.cache
def _modes_see_indexing() -> bool:
    """Is a mode told of `x[i]`? In torch 2.2 it isn't, and of `x[i] = y` neither where `y` is a tensor."""
    import torch
    from torch.overrides import TorchFunctionMode

    seen = False

    class Mode(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal seen
            seen = seen or function.__name__ == "__getitem__"
            return function(*args, **(kwargs or {}))

    tensor = torch.zeros(1)
    with Mode():
        tensor[0]
    return seen


@contextlib.contextmanager
def _shown_indexing() -> Iterator[None]:
    """Indexing asks for modes first, as torch's own functions in Python do."""
    import torch
    from torch.overrides import handle_torch_function, has_torch_function_unary

    tensor: Any = torch.Tensor
    if "__getitem__" in vars(tensor):  # shown already
        yield
        return

    def asking(original: Any) -> Any:
        @functools.wraps(original)
        def indexing(self: Any, *operands: Any) -> Any:
            if has_torch_function_unary(self):
                return handle_torch_function(indexing, (self,), self, *operands)
            return original(self, *operands)

        return indexing

    functions = {name: asking(getattr(tensor, name)) for name in ("__getitem__", "__setitem__")}
    with _no_sequences(tensor):
        for name, function in functions.items():
            setattr(tensor, name, function)
    try:
        yield
    finally:
        with _no_sequences(tensor):
            for name in functions:
                delattr(tensor, name)


_AS_SEQUENCE = tuple.__basicsize__ + 10 * ctypes.sizeof(ctypes.c_void_p)
"""Where CPython keeps a class's methods as a sequence: `tp_as_sequence` in `PyTypeObject`."""
_ITEM = 3 * ctypes.sizeof(ctypes.c_void_p)
"""Of these, `sq_item` in `PySequenceMethods`."""


@contextlib.contextmanager
def _no_sequences(tensor: type) -> Iterator[None]:
    """Tensors that are no sequences to C code stay so, although their class gets a `__getitem__` in Python, or gets rid
    of it again: CPython counts any class with such a method among sequences, and `torch.tensor([x, y])` then asks
    `x` for its length."""
    slots = []
    todo = [tensor]
    while todo:
        each = todo.pop()
        todo += type.__subclasses__(each)
        methods = ctypes.c_void_p.from_address(id(each) + _AS_SEQUENCE).value
        if methods:
            slot = ctypes.c_void_p.from_address(methods + _ITEM)
            slots.append((slot, slot.value))
    try:
        yield
    finally:
        for slot, value in slots:
            slot.value = value
