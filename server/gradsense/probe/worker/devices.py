"""Where a probe runs: the device that is asked for, and code that was written for another one.

On the CPU `.cuda()` and `device="cuda"` are no moves. On a GPU all of them lead to the one that is asked for, and what
goes to the CPU goes there.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from .limits import uncounted
from .stop import Stop

_MOVES = frozenset(("cuda", "xpu", "hpu", "npu", "mps", "ipu"))
_BY_NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"


def softened(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], device: str
) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """A call's name and arguments with devices replaced by `device`; the name is "" when nothing is left to
    do."""
    on_gpu = device not in ("cpu", "meta")
    if name == "cuda" and on_gpu:
        return name, (args[0], device), {key: value for key, value in kwargs.items() if key != "device"}
    if (name in _MOVES and not on_gpu) or (name == "cpu" and device == "meta"):
        return "", args, kwargs
    given = kwargs.get("device")
    if given is not None and not (on_gpu and _is_cpu(given)):
        kwargs = {**kwargs, "device": device}
    if name == "to" and any(_is_device(each) and not (on_gpu and _is_cpu(each)) for each in args[1:2]):
        args = (args[0], device, *args[2:])
    return name, args, kwargs


def start(device: str, trains_here: bool) -> None:
    """See that there is the device: raises `Stop` if not. With `trains_here` what a first computation on it loads and
    allocates is there afterwards.

    A script, for which nothing is to train here yet, finds CUDA as it would: not started, so that it can say which GPUs
    it sees, and fork.
    """
    if device == "cpu":
        return
    _look_for(device)
    if trains_here:
        import torch

        some = torch.ones(8, 8, device=device)
        (some @ some).sum().item()


def start_uncounted() -> None:
    """Where a script begins to use CUDA, what that takes is not held against it."""
    import torch

    library: Any = torch.cuda
    begin = library._lazy_init

    def lazy_init() -> None:
        if library.is_initialized() or threading.current_thread() is not threading.main_thread():
            begin()
            return
        with uncounted():
            begin()
            if library.is_initialized():
                torch.zeros(1, device="cuda")  # its context is made with the first tensor

    library._lazy_init = lazy_init


def index_of(device: str) -> int:
    """The number of a GPU: 1 for `cuda:1`."""
    return int(device.partition(":")[2] or 0)


def _look_for(device: str) -> None:
    import torch

    before = os.environ.get(_BY_NVML)
    os.environ[_BY_NVML] = "1"  # what CUDA itself is asked for is settled for the process and for its children
    try:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    finally:
        if before is None:
            del os.environ[_BY_NVML]
        else:
            os.environ[_BY_NVML] = before
    if not count:
        raise Stop("device", f"This interpreter's torch sees no CUDA device: {_why_none()}, or probe on the CPU.")
    if index_of(device) >= count:
        seen = "one CUDA device, `cuda:0`" if count == 1 else f"{count} CUDA devices, the last `cuda:{count - 1}`"
        raise Stop("device", f"This interpreter's torch sees {seen}: there is no `{device}`. Choose another one.")


def _why_none() -> str:
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} is built without CUDA. Install a build with it"
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip():
        return "`CUDA_VISIBLE_DEVICES` is empty here. Name a device there"
    return "there is no GPU, or no driver that fits. Look what `nvidia-smi` says"


def _is_cpu(value: Any) -> bool:
    import torch

    return isinstance(value, (torch.device, str)) and torch.device(value).type in ("cpu", "meta")


def _is_device(value: Any) -> bool:
    import torch

    return isinstance(value, (torch.device, str)) or (isinstance(value, int) and not isinstance(value, bool))


@contextlib.contextmanager
def softly(device: str) -> Iterator[None]:
    """While a model is being built for the CPU: what is made on, or moved to, another device is made there."""
    if device != "cpu":
        yield
        return
    import torch
    from torch.overrides import TorchFunctionMode

    class Mode(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(function, "__name__", "")
            soft, args, kwargs = softened(name, args, kwargs or {}, device)
            return function(*args, **kwargs) if soft else args[0]

    module: Any = torch.nn.Module
    move = module.to

    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        args = tuple(each for each in args if not _is_device(each))
        kwargs = {key: value for key, value in kwargs.items() if key != "device"}
        return move(self, *args, **kwargs) if args or kwargs.keys() - {"non_blocking"} else self

    moves = {name: vars(module)[name] for name in (*_MOVES, "to") if name in vars(module)}
    for name in moves:
        setattr(module, name, to if name == "to" else lambda self, *_, **__: self)
    try:
        with Mode():
            yield
    finally:
        for name, method in moves.items():
            setattr(module, name, method)
