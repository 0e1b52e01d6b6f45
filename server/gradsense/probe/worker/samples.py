"""Values of the user's as parts of a batch: what they look like, cut down to a few samples."""

from __future__ import annotations

from typing import Any

from .batch import BATCH, Group, Leaf, Node, Value
from .values import tensors_in, with_tensors


def kind_of(tensor: Any) -> str | None:
    """The kind of a tensor as a leaf has it; None for one of which there is none, such as a complex one."""
    import torch

    if tensor.dtype == torch.bool:
        return "bool"
    if tensor.is_floating_point():
        return "double" if tensor.dtype == torch.float64 else "float"
    return None if tensor.is_complex() else "long"


def few(value: Any) -> Any:
    """`value` with the first samples of its tensors, where all of them have the same number of samples; else only of
    those that a probe would need long for."""
    tensors = [each for each in tensors_in(value) if each.dim()]
    counts = {each.shape[0] for each in tensors}
    if len(counts) == 1 or sum(each.numel() for each in tensors) > _MANY_ELEMENTS:
        return with_tensors(value, lambda each: each[:BATCH] if each.dim() else each)
    return value


_MANY_ELEMENTS = 100_000


def node_of(name: str, value: Any, keep: bool) -> Node:
    """What `value` looks like. `keep`: with its numbers, unless they are all the same, which tells that they don't
    matter; whole numbers are kept in any case: they are indices, lengths or classes."""
    import torch

    if isinstance(value, torch.Tensor):
        kind = kind_of(value)
        if kind is None or not value.dim() or value.layout is not torch.strided or value.is_meta:
            return Value(name, value)
        value = value.detach()
        high = int(value.max()) + 1 if kind == "long" and value.numel() else 2
        says = value.numel() > 0 and bool((value != value.reshape(-1)[0]).any())
        sample = value.clone() if says and (keep or kind in ("long", "bool")) else None
        return Leaf(name, tuple(value.shape), kind, high, sample=sample)
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields") and next(tensors_in(value), None) is not None:
        kind = "tuple" if isinstance(value, tuple) else "list"
        return Group(kind, tuple(node_of(f"{name}[{i}]", each, keep) for i, each in enumerate(value)))
    if type(value) is dict and all(isinstance(key, str) for key in value):
        parts = tuple(node_of(key, each, keep) for key, each in value.items())
        return Group("dict", parts, tuple(value))
    return Value(name, value)
