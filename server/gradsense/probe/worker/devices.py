"""Run code that was written for a GPU on whatever device the probe uses: `.cuda()` and `device="cuda"` are
no moves."""

from __future__ import annotations

from typing import Any

_FACTORIES = frozenset(
    [
        "zeros",
        "ones",
        "rand",
        "randn",
        "randint",
        "randperm",
        "empty",
        "full",
        "arange",
        "linspace",
        "eye",
        "tensor",
        "as_tensor",
        "zeros_like",
        "ones_like",
        "rand_like",
        "randn_like",
        "empty_like",
        "full_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
        "new_tensor",
        "tril_indices",
        "triu_indices",
        "logspace",
        "scalar_tensor",
        "from_numpy",
        "normal",
        "bernoulli",
    ]
)


def softened(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], device: str) -> tuple[str, Any, Any]:
    """A call's name and arguments with devices replaced by `device`; the name is "" when nothing is left to
    do."""
    import torch

    if name in ("cuda", "cpu", "xpu", "hpu", "npu"):
        return "", args, kwargs
    if name == "to" or name in _FACTORIES or name == "type":
        if "device" in kwargs and kwargs["device"] is not None:
            kwargs = {**kwargs, "device": device}
        if name == "to":
            kept = tuple(each for each in args[1:] if not _is_device(each))
            kept = tuple(each.dtype if isinstance(each, torch.Tensor) else each for each in kept)
            kwargs = {key: value for key, value in kwargs.items() if key != "device"}
            if len(kept) and isinstance(kept[0], bool):
                kept = ()  # only `non_blocking` is left
            if not kept and not {"dtype", "memory_format", "other"} & set(kwargs):
                return "", args, kwargs
            args = (args[0], *kept)
    return name, args, kwargs


def _is_device(value: Any) -> bool:
    import torch

    if isinstance(value, torch.device):
        return True
    return (isinstance(value, int) and not isinstance(value, bool)) or isinstance(value, str)
