"""Run code that was written for a GPU on the device the probe uses: `.cuda()` and `device="cuda"` are no
moves."""

from __future__ import annotations

from typing import Any

_MOVES = frozenset(("cuda", "xpu", "hpu", "npu", "mps", "ipu"))


def softened(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], device: str
) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """A call's name and arguments with devices replaced by `device`; the name is "" when nothing is left to
    do."""
    if name in _MOVES or (name == "cpu" and device == "meta"):
        return "", args, kwargs
    given = kwargs.get("device")
    if given is not None:
        kwargs = {**kwargs, "device": device}
    if name == "to" and any(_is_device(each) for each in args[1:2]):
        args = (args[0], device, *args[2:])
    return name, args, kwargs


def _is_device(value: Any) -> bool:
    import torch

    return isinstance(value, (torch.device, str)) or (isinstance(value, int) and not isinstance(value, bool))
