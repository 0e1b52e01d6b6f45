"""What a batch looks like: tensors, plain values, and tuples, lists, dicts and objects of them."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Union

BATCH = 4  # samples; batch norm needs more than one, and sizes that differ from it tell dimensions apart


@dataclass(frozen=True)
class Leaf:
    """A tensor. `kind` is "float", "double", "long" or "bool"; whole numbers lie in `[low, high)`. `name` is
    the user's. `sample` is a tensor of the user's, to be used as long as it is one of this form."""

    name: str
    shape: tuple[int, ...]
    kind: str = "float"
    high: int = 2
    fixed: bool = False
    sample: Any = field(default=None, compare=False, repr=False)

    def resized(self, dimension: int, size: int) -> Leaf:
        shape = list(self.shape)
        shape[dimension] = max(1, size)
        return replace(self, shape=tuple(shape))

    @property
    def text(self) -> str:
        kind = {"float": "float32", "double": "float64", "long": "int64", "bool": "bool"}[self.kind]
        bound = f" below {self.high}" if self.kind == "long" else ""
        return f"{kind} {self.shape}{bound}"


@dataclass(frozen=True)
class Value:
    """Anything that is passed as it is."""

    name: str
    value: Any


@dataclass(frozen=True)
class Group:
    """Several parts: kind is "tuple", "list", "dict" or "object"; `keys` name the parts of the last two."""

    kind: str
    parts: tuple[Node, ...]
    keys: tuple[str, ...] = ()


Node = Union[Leaf, Value, Group]


def leaves(node: Node) -> list[Leaf]:
    """The tensors of `node`, in order."""
    if isinstance(node, Leaf):
        return [node]
    return [leaf for part in node.parts for leaf in leaves(part)] if isinstance(node, Group) else []


def rebuilt(node: Node, new: list[Leaf]) -> Node:
    """`node` with its leaves replaced, in order; takes them off the front of `new`."""
    if isinstance(node, Leaf):
        return new.pop(0)
    if isinstance(node, Group):
        return replace(node, parts=tuple(rebuilt(part, new) for part in node.parts))
    return node


def named_like(node: Node, other: Node) -> Node:
    """`node` with the names of `other`, where that has as many tensors."""
    own, names = leaves(node), [leaf.name for leaf in leaves(other)]
    if len(own) != len(names):
        return node
    return rebuilt(node, [replace(leaf, name=name) for leaf, name in zip(own, names)])


def made(node: Node, tensor: Callable[[Leaf], Any]) -> Any:
    """The Python value of `node`, its tensors made by `tensor`."""
    if isinstance(node, Leaf):
        return tensor(node)
    if isinstance(node, Value):
        return node.value
    parts = [made(part, tensor) for part in node.parts]
    if node.kind == "dict":
        return dict(zip(node.keys, parts))
    if node.kind == "object":
        return types.SimpleNamespace(**dict(zip(node.keys, parts)))
    return tuple(parts) if node.kind == "tuple" else parts


def reranked(leaf: Leaf, rank: int) -> Iterator[Leaf]:
    """`leaf` with another rank, its batch and last (or channel) size kept where that makes sense."""
    if rank < 0 or rank > 6:
        return
    shape = leaf.shape
    last = shape[-1] if shape else 8
    batch = shape[0] if shape else BATCH
    if leaf.kind == "long" and rank <= 2:
        yield replace(leaf, shape=((), (batch,), (batch, 6))[rank])
    elif rank == 0:
        yield replace(leaf, shape=())
    elif rank == 1:
        yield replace(leaf, shape=(batch,))
    elif rank == 2:
        yield replace(leaf, shape=(batch, last))
    elif rank == 3:
        yield replace(leaf, shape=(batch, 6, last))
        yield replace(leaf, shape=(batch, last, 32))
    elif rank == 4:
        channels = shape[1] if len(shape) in (3, 5) else 3
        yield replace(leaf, shape=(batch, channels, 32, 32))
        yield replace(leaf, shape=(batch, 6, 6, last))
    elif rank == 5:
        yield replace(leaf, shape=(batch, shape[1] if len(shape) > 2 else 3, 8, 16, 16))


def code(node: Node) -> str | None:
    """An expression that makes such a value, with `torch` alone; None where there is none."""
    if isinstance(node, Leaf):
        shape = ", ".join(map(str, node.shape))
        if node.kind == "long":
            return f"torch.randint(0, {max(1, node.high)}, ({shape}{',' if len(node.shape) == 1 else ''}))"
        if node.kind == "bool":
            if not node.shape:
                return "torch.zeros((), dtype=torch.bool)"
            return f"(torch.arange({node.shape[-1]}) % 2 == 1).expand({shape})"
        tail = ", dtype=torch.float64" if node.kind == "double" else ""
        return f"torch.randn({shape or '()'}{tail})"
    if isinstance(node, Value):
        simple = node.value is None or isinstance(node.value, (bool, int, float, str))
        return repr(node.value) if simple else None
    parts = [code(part) for part in node.parts]
    if node.kind == "object" or any(part is None for part in parts):
        return None
    if node.kind == "dict":
        return "{" + ", ".join(f"{key!r}: {part}" for key, part in zip(node.keys, parts)) + "}"
    inside = ", ".join(map(str, parts))
    if node.kind == "list":
        return f"[{inside}]"
    return f"({inside}{',' if len(parts) == 1 else ''})"


def real(leaf: Leaf, device: str = "cpu") -> Any:
    """The leaf's sample, or a tensor of random numbers, the same ones on all devices."""
    values = _filled(leaf)
    return values if device == "cpu" else values.to(device)


def _filled(leaf: Leaf) -> Any:
    import torch

    if leaf.sample is not None and _is_of(leaf, leaf.sample):
        return leaf.sample.clone()
    if leaf.kind == "float":
        return torch.randn(leaf.shape)
    if leaf.kind == "double":
        return torch.randn(leaf.shape, dtype=torch.float64)
    if leaf.kind == "long":
        return torch.randint(0, max(1, leaf.high), leaf.shape)
    if len(leaf.shape) >= 2 and leaf.shape[-1] == leaf.shape[-2]:
        return torch.ones(leaf.shape, dtype=torch.bool).tril()  # a mask that leaves each row something
    if not leaf.shape:
        return torch.zeros((), dtype=torch.bool)
    return (torch.arange(leaf.shape[-1]) % 2 == 1).expand(leaf.shape).clone()  # and so does this one, whatever it means


def _is_of(leaf: Leaf, tensor: Any) -> bool:
    import torch

    if tuple(tensor.shape) != leaf.shape:
        return False
    if leaf.kind == "long":
        return not tensor.is_floating_point() and tensor.dtype != torch.bool and int(tensor.max()) < max(1, leaf.high)
    return tensor.dtype == torch.bool if leaf.kind == "bool" else bool(tensor.is_floating_point())


def meta(leaf: Leaf) -> Any:
    """A tensor without data."""
    import torch

    kinds = {
        "float": torch.get_default_dtype(),
        "double": torch.float64,
        "long": torch.int64,
        "bool": torch.bool,
    }
    return torch.empty(leaf.shape, dtype=kinds[leaf.kind], device="meta")
