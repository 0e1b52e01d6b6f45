"""How many parameters a layer has, where the program tells its sizes (PyTorch 2.13, `torch.nn`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gradsense.program.facts import Make
from gradsense.program.values import Const, Ref, Value


class Size(NamedTuple):
    """Numbers of elements, and of the tensors that they are in."""

    parameters: int
    tensors: int

    def __str__(self) -> str:
        return f"{self.parameters:,} parameters in {self.tensors} tensor{'s' if self.tensors != 1 else ''}"


def size_of(made: Make) -> Size | None:
    """The size of a layer of `torch.nn`; None for other layers, and where an argument isn't a number in the program."""
    kind = made.instance.type.name if isinstance(made.instance.type, Ref) else ""
    head, _, last = kind.rpartition(".")
    layer = _LAYERS.get(last) if head == "torch.nn" else None
    if layer is None:
        return None
    names, count = layer
    given: dict[str, Value] = {**dict(zip(names, made.args, strict=False)), **dict(made.keywords)}
    try:
        return count(_Arguments(given))
    except _NotTold:
        return None


class _NotTold(Exception):
    """The program does not tell a number."""


class _Arguments:
    def __init__(self, given: Mapping[str, Value]) -> None:
        self._given = given

    def number(self, name: str, default: int | None = None) -> int:
        value = self._given.get(name, Const(default))
        if isinstance(value, Const) and isinstance(value.value, int):
            return int(value.value)
        raise _NotTold

    def holds(self, name: str, default: bool) -> bool:
        value = self._given.get(name, Const(default))
        if isinstance(value, Const):
            return bool(value.value)
        raise _NotTold


def _weight_and_bias(weight: int, bias: int, has_bias: bool) -> Size:
    return Size(weight + bias, 2) if has_bias else Size(weight, 1)


def _linear(a: _Arguments) -> Size:
    out = a.number("out_features")
    return _weight_and_bias(a.number("in_features") * out, out, a.holds("bias", True))


def _conv(dimensions: int) -> Callable[[_Arguments], Size]:
    def count(a: _Arguments) -> Size:
        out = a.number("out_channels")
        inner = a.number("in_channels") // a.number("groups", 1)
        return _weight_and_bias(inner * out * a.number("kernel_size") ** dimensions, out, a.holds("bias", True))

    return count


def _embedding(a: _Arguments) -> Size:
    return Size(a.number("num_embeddings") * a.number("embedding_dim"), 1)


def _norm(features: str, affine: str) -> Callable[[_Arguments], Size]:
    def count(a: _Arguments) -> Size:
        width = a.number(features)
        return Size(2 * width, 2) if a.holds(affine, True) else Size(0, 0)

    return count


_CONVOLUTION = "in_channels out_channels kernel_size stride padding dilation groups bias".split()
_LAYERS: dict[str, tuple[list[str], Callable[[_Arguments], Size]]] = {
    "Linear": ("in_features out_features bias".split(), _linear),
    "Conv1d": (_CONVOLUTION, _conv(1)),
    "Conv2d": (_CONVOLUTION, _conv(2)),
    "Conv3d": (_CONVOLUTION, _conv(3)),
    "Embedding": ("num_embeddings embedding_dim".split(), _embedding),
    "BatchNorm1d": ("num_features eps momentum affine".split(), _norm("num_features", "affine")),
    "BatchNorm2d": ("num_features eps momentum affine".split(), _norm("num_features", "affine")),
    "BatchNorm3d": ("num_features eps momentum affine".split(), _norm("num_features", "affine")),
    "LayerNorm": ("normalized_shape eps elementwise_affine".split(), _norm("normalized_shape", "elementwise_affine")),
}
