"""What layers and operations need of their operands, checked before they run.

A `Need` names the operand and the property it lacks; `search.py` finds the argument it comes from and repairs
that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Need:
    """`operand` lacks something. `what`: rank (one of `ranks`), size (`dimension` should be `size`), kind,
    count (the number of elements should be a multiple of `size`), below (whole numbers below `size`)."""

    operand: Any
    what: str
    size: int = 0
    dimension: int = -1
    ranks: tuple[int, ...] = ()
    kind: str = ""


class Unfit(BaseException):
    """Raised through the user's code, past its `except Exception`, when an operand doesn't fit."""

    def __init__(self, needs: list[Need], what: str) -> None:
        super().__init__(what)
        self.needs = needs
        self.what = what


def of_layer(module: Any, operands: tuple[Any, ...]) -> Iterator[Need]:
    """What a layer of torch's needs of its (first) operands and they lack."""
    import torch

    nn = torch.nn
    if not operands or not isinstance(operands[0], torch.Tensor):
        return
    x = operands[0]
    weight = next(iter(module.parameters(recurse=False)), None)
    if weight is not None and not isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and _is_torchs(module):
        yield from _float(x, weight)
    if isinstance(module, nn.Linear):
        yield from _rank(x, tuple(range(1, 8)))
        yield from _size(x, -1, module.in_features)
    elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        yield from _whole(x, module.num_embeddings)
        if isinstance(module, nn.EmbeddingBag):
            yield from _bags(x, operands[1] if len(operands) > 1 else None)
    elif isinstance(module, nn.modules.conv._ConvNd) and not isinstance(module, nn.modules.lazy.LazyModuleMixin):
        rank = len(module.kernel_size) + 2
        yield from _float(x)
        yield from _rank(x, (rank, rank - 1), rank)
        if x.dim() == rank:
            yield from _size(x, 1, module.in_channels)
        if not module.transposed:
            for i, kernel in enumerate(module.kernel_size):
                padding = module.padding[i] if not isinstance(module.padding, str) else kernel
                least = module.dilation[i] * (kernel - 1) + 1 - 2 * padding
                dimension = i - len(module.kernel_size)
                if x.dim() == rank and x.shape[dimension] < least:
                    yield Need(x, "size", max(least, 8), dimension)
    elif isinstance(module, nn.RNNBase):
        yield from _rank(x, (3, 2), 3)
        yield from _size(x, -1, module.input_size)
        if len(operands) > 1 and x.dim() == 3:
            yield from _hidden(module, x, operands[1])
    elif isinstance(module, nn.modules.rnn.RNNCellBase):
        yield from _rank(x, (2, 1), 2)
        yield from _size(x, -1, module.input_size)
        for state in operands[1] if len(operands) > 1 and isinstance(operands[1], (tuple, list)) else operands[1:]:
            if isinstance(state, torch.Tensor):
                yield from _shape(state, (x.shape[0], module.hidden_size))
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        ranks = {nn.BatchNorm1d: (2, 3), nn.BatchNorm2d: (4,), nn.BatchNorm3d: (5,)}.get(type(module), (2, 3, 4, 5))
        yield from _float(x)
        yield from _rank(x, ranks)
        yield from _size(x, 1, module.num_features)
    elif isinstance(module, nn.LayerNorm):
        for i, size in enumerate(reversed(module.normalized_shape)):
            yield from _rank(x, tuple(range(i + 1, 8)))
            yield from _size(x, -1 - i, size)
    elif isinstance(module, nn.GroupNorm):
        yield from _size(x, 1, module.num_channels)
    elif isinstance(module, nn.MultiheadAttention):
        yield from _rank(x, (3, 2), 3)
        yield from _size(x, -1, module.embed_dim)
    elif isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        yield from _float(x)
        yield from _rank(x, (3, 2), 3)
        yield from _size(x, -1, module.linear1.in_features)
    elif isinstance(module, (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)):
        yield from _rank(x, (4, 3), 4)
    elif isinstance(module, (nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d)):
        yield from _rank(x, (3, 2), 3)
    elif isinstance(module, (nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d)):
        yield from _rank(x, (5, 4), 5)


def _masking(mask: Any, x: Any) -> Iterator[Need]:
    """A mask that picks out of `x` has its leading sizes."""
    if mask.dim() > x.dim():
        yield Need(mask, "rank", ranks=(x.dim(),))
        return
    for i in range(mask.dim()):
        yield from _size(mask, i, x.shape[i])


def _bags(x: Any, offsets: Any) -> Iterator[Need]:
    """Rows of whole numbers, or one row and where in it each bag begins, the first at 0."""
    import torch

    if not isinstance(offsets, torch.Tensor):
        yield from _rank(x, (2,))
        return
    yield from _rank(x, (1,))
    yield from _rank(offsets, (1,))
    yield from _whole(offsets, 1)


def _hidden(module: Any, x: Any, state: Any) -> Iterator[Need]:
    """The state that a recurrent layer starts from: (layers, batch, hidden)."""
    import torch

    layers = module.num_layers * (2 if module.bidirectional else 1)
    batch = x.shape[0 if module.batch_first else 1]
    for each in state if isinstance(state, (tuple, list)) else (state,):
        if isinstance(each, torch.Tensor):
            yield from _float(each)
            yield from _shape(each, (layers, batch, getattr(module, "proj_size", 0) or module.hidden_size))


def _is_torchs(module: Any) -> bool:
    return type(module).__module__.partition(".")[0] == "torch"


def of_operation(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Need]:
    """What a function of torch's, by its name, needs of its operands and they lack."""
    import torch

    tensors = [each for each in args if isinstance(each, torch.Tensor)]
    if name == "linear" and len(tensors) >= 2:
        yield from _float(tensors[0], tensors[1])
        yield from _size(tensors[0], -1, tensors[1].shape[-1])
    elif name in ("conv1d", "conv2d", "conv3d") and len(tensors) >= 2:
        rank = int(name[4]) + 2
        groups = kwargs.get("groups", args[6] if len(args) > 6 else 1)
        yield from _float(tensors[0])
        yield from _rank(tensors[0], (rank,))
        yield from _size(tensors[0], 1, tensors[1].shape[1] * groups)
    elif name == "embedding" and len(tensors) >= 2:
        yield from _whole(tensors[0], tensors[1].shape[0])
    elif name == "layer_norm" and tensors:
        wanted = kwargs.get("normalized_shape", args[1] if len(args) > 1 else ())
        yield from _float(tensors[0])
        for i, size in enumerate(reversed(tuple(wanted) if isinstance(wanted, (tuple, list)) else ())):
            yield from _size(tensors[0], -1 - i, size)
    elif name in ("matmul", "__matmul__", "mm", "bmm", "__rmatmul__") and len(tensors) >= 2:
        left, right = (tensors[0], tensors[1]) if name != "__rmatmul__" else (tensors[1], tensors[0])
        yield from _float(left, right)
        yield from _float(right, left)
        ranks = {"mm": (2,), "bmm": (3,)}.get(name)
        if ranks:
            yield from _rank(left, ranks)
            yield from _rank(right, ranks)
        if left.dim() and right.dim():
            inner = right.shape[-2] if right.dim() > 1 else right.shape[-1]
            if left.shape[-1] != inner:
                yield Need(left, "size", inner, -1)
                yield Need(right, "size", left.shape[-1], -2 if right.dim() > 1 else -1)
    elif name in ("cross_entropy", "nll_loss") and len(tensors) >= 2:
        yield from _classes(tensors[0], tensors[1])
    elif (name in ("binary_cross_entropy", "binary_cross_entropy_with_logits") and len(tensors) >= 2) or (
        name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss") and len(tensors) >= 2
    ):
        yield from _alike(tensors[0], tensors[1])
    elif name == "one_hot" and tensors:
        classes = kwargs.get("num_classes", args[1] if len(args) > 1 else -1)
        yield from _whole(tensors[0], classes if isinstance(classes, int) and classes > 0 else 0)
    elif name in ("gather", "index_select", "scatter", "scatter_", "take_along_dim"):
        if len(tensors) >= 2:
            dimension = next((each for each in args if isinstance(each, int)), kwargs.get("dim", 0))
            dimension = dimension if isinstance(dimension, int) else 0
            size = tensors[0].shape[dimension] if -tensors[0].dim() <= dimension < tensors[0].dim() else 0
            yield from _whole(tensors[1], size)
            if name == "gather" and tensors[1].dim() != tensors[0].dim():
                yield Need(tensors[1], "rank", ranks=(tensors[0].dim(),))
    elif name in ("__getitem__", "__setitem__") and len(args) >= 2 and isinstance(args[0], torch.Tensor):
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        if len(index) == 1 and getattr(index[0], "dtype", None) == torch.bool:
            yield from _masking(index[0], args[0])
        for i, each in enumerate(index):
            if isinstance(each, torch.Tensor) and each.dtype != torch.bool and each.dtype != torch.uint8:
                yield from _whole(each, args[0].shape[i] if i < args[0].dim() else 0)
    elif name == "multi_head_attention_forward" and len(args) >= 2:
        query, key = args[0], args[1]
        if query.dim() == 3 and key.dim() == 3:
            padding, mask = kwargs.get("key_padding_mask"), kwargs.get("attn_mask")
            if padding is not None:
                yield from _shape(padding, (key.shape[1], key.shape[0]))
            if mask is not None and mask.dim() != 3:
                yield from _shape(mask, (query.shape[0], key.shape[0]))
    elif name in ("view", "reshape") and tensors:
        yield from _viewed(args)


def after_failure(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Need]:
    """What may have been lacking when the operation raised: sizes that don't broadcast or don't join."""
    import torch

    tensors = [each for each in args if isinstance(each, torch.Tensor)]
    if name in ("cat", "stack", "concat", "concatenate") and args and isinstance(args[0], (tuple, list)):
        tensors = [each for each in args[0] if isinstance(each, torch.Tensor)]
        dimension = args[1] if len(args) > 1 else kwargs.get("dim", 0)
        for a, b in zip(tensors, tensors[1:]):
            if a.dim() != b.dim():
                yield Need(b, "rank", ranks=(a.dim(),))
                yield Need(a, "rank", ranks=(b.dim(),))
            else:
                for i in range(a.dim()):
                    joined = name != "stack" and i == dimension % max(1, a.dim())
                    if a.shape[i] != b.shape[i] and not joined:
                        yield Need(b, "size", a.shape[i], i)
                        yield Need(a, "size", b.shape[i], i)
        return
    for i, a in enumerate(tensors[:3]):
        for b in tensors[i + 1 : 3]:
            for k in range(1, min(a.dim(), b.dim()) + 1):
                if a.shape[-k] != b.shape[-k] and 1 not in (a.shape[-k], b.shape[-k]):
                    yield Need(a, "size", b.shape[-k], -k)
                    yield Need(b, "size", a.shape[-k], -k)


def _float(x: Any, like: Any = None) -> Iterator[Need]:
    import torch

    if not (x.is_floating_point() or x.is_complex()):
        yield Need(x, "kind", kind="float")
    elif like is not None and like.dtype == torch.float64 and x.dtype == torch.float32:
        yield Need(x, "kind", kind="double")


def _whole(x: Any, below: int) -> Iterator[Need]:
    import torch

    if x.is_floating_point() or x.dtype == torch.bool:
        yield Need(x, "kind", below, kind="long")
    elif below:
        yield Need(x, "below", below)


def _rank(x: Any, ranks: tuple[int, ...], best: int = 0) -> Iterator[Need]:
    if x.dim() not in ranks or (best and x.dim() != best):
        yield Need(x, "rank", ranks=(best, *ranks) if best else ranks)


def _size(x: Any, dimension: int, size: int) -> Iterator[Need]:
    if -x.dim() <= dimension < x.dim() and x.shape[dimension] != size:
        yield Need(x, "size", size, dimension)


def _classes(scores: Any, target: Any) -> Iterator[Need]:
    classes = scores.shape[1] if scores.dim() > 1 else (scores.shape[0] if scores.dim() else 1)
    if target.is_floating_point() and target.shape == scores.shape:
        return
    if target.is_floating_point():
        yield Need(target, "kind", classes, kind="long")
        return
    wanted = (*scores.shape[:1], *scores.shape[2:]) if scores.dim() > 1 else ()
    yield from _shape(target, wanted)
    yield Need(target, "below", classes)


def _alike(prediction: Any, target: Any) -> Iterator[Need]:
    yield from _float(target)
    yield from _shape(target, tuple(prediction.shape))


def _shape(x: Any, shape: tuple[int, ...]) -> Iterator[Need]:
    if x.dim() != len(shape):
        yield Need(x, "rank", ranks=(len(shape),))
        return
    for i, size in enumerate(shape):
        yield from _size(x, i, size)


def _viewed(args: tuple[Any, ...]) -> Iterator[Need]:
    x, sizes = args[0], args[1:]
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    if not sizes or not all(isinstance(each, int) for each in sizes):
        return
    known = math.prod(each for each in sizes if each != -1)
    if known and (x.numel() % known or (-1 not in sizes and x.numel() != known)):
        constants = math.prod(each for each in sizes if each != -1 and each != x.shape[0]) if x.dim() else known
        yield Need(x, "count", constants or known)


def raised_to(needs: list[Need]) -> list[Need] | None:
    """The needs that stop a run; "below" alone only narrows the numbers."""
    stopping = [need for need in needs if need.what != "below"]
    return stopping or None
