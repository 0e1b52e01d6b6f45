"""Arguments as they are passed to a model: the tensors in them, and the same arguments with other tensors."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Iterator
from typing import Any


def tensors_in(value: Any, depth: int = 0) -> Iterator[Any]:
    """The tensors in tuples, lists, dicts and plain objects, in order."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif depth > 5:
        return
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from tensors_in(each, depth + 1)
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors_in(each, depth + 1)
    elif isinstance(value, types.SimpleNamespace):
        yield from tensors_in(vars(value), depth + 1)


def with_tensors(value: Any, change: Callable[[Any], Any], depth: int = 0) -> Any:
    """`value` with each tensor that `tensors_in` gives replaced by `change` of it; the rest is the same object."""
    import torch

    if isinstance(value, torch.Tensor):
        return change(value)
    if depth > 5:
        return value
    if isinstance(value, (tuple, list)):
        parts = [with_tensors(each, change, depth + 1) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        changed = copy.copy(value)
        for key, each in value.items():
            changed[key] = with_tensors(each, change, depth + 1)
        return changed
    if isinstance(value, types.SimpleNamespace):
        return types.SimpleNamespace(**with_tensors(vars(value), change, depth + 1))
    return value
