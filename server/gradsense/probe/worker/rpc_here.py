"""`torch.distributed.rpc` within one process: every worker is this one, so that what a model calls elsewhere runs here.

Nothing is sent, and no other process is needed: what `rpc.remote` makes is made here, and its parameters are the
model's own for the probe. Gradients flow through such calls as through any other.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Callable


class Worker:
    """What stands for a worker: all are this process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = 0


class Reference:
    """An `RRef`: the value is here."""

    def __init__(self, value: Any = None, type_hint: Any = None) -> None:
        self.value = value

    def to_here(self, timeout: float = 0.0) -> Any:
        return self.value

    def local_value(self) -> Any:
        return self.value

    def owner(self) -> Worker:
        return Worker("here")

    def owner_name(self) -> str:
        return "here"

    def is_owner(self) -> bool:
        return True

    def confirmed_by_owner(self) -> bool:
        return True

    def remote(self, timeout: float = 0.0) -> _Methods:
        return _Methods(self.value, Reference)

    def rpc_sync(self, timeout: float = 0.0) -> _Methods:
        return _Methods(self.value, lambda result: result)

    def rpc_async(self, timeout: float = 0.0) -> _Methods:
        return _Methods(self.value, _finished)


class _Methods:
    """The methods of a value, each giving `wrap` of what the value's own gives."""

    def __init__(self, value: Any, wrap: Callable[[Any], Any]) -> None:
        self._value = value
        self._wrap = wrap

    def __getattr__(self, name: str) -> Any:
        method, wrap = getattr(self._value, name), self._wrap
        return lambda *args, **kwargs: wrap(method(*args, **kwargs))


def _finished(result: Any) -> Any:
    import torch

    future: Any = torch.futures.Future()
    future.set_result(result)
    return future


def _called(wrap: Callable[[Any], Any]) -> Callable[..., Any]:
    """`rpc_sync` and its like: (worker, function, args, kwargs)."""

    def call(to: Any, func: Any, args: Any = None, kwargs: Any = None, timeout: float = 0.0) -> Any:
        return wrap(func(*(args or ()), **(kwargs or {})))

    return call


def remote_parameters(model: Any) -> Iterator[Any]:
    """The parameters that a model has on other workers."""
    import torch

    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Reference) and isinstance(value.value, torch.nn.Module):
                yield from value.value.parameters()


def install() -> None:
    """Put this in the place of `torch.distributed.rpc`, before the user's file imports from it."""
    import torch

    try:
        rpc: Any = importlib.import_module("torch.distributed.rpc")
        nn: Any = importlib.import_module("torch.distributed.nn")
        remote_modules: Any = importlib.import_module("torch.distributed.nn.api.remote_module")
    except ImportError:  # built without it
        return

    class RemoteModule(torch.nn.Module):
        def __init__(self, remote_device: Any, module_cls: Any, args: Any = None, kwargs: Any = None) -> None:
            super().__init__()
            self.module = module_cls(*(args or ()), **(kwargs or {}))

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return self.module(*args, **kwargs)

        def forward_async(self, *args: Any, **kwargs: Any) -> Any:
            return _finished(self.module(*args, **kwargs))

        def remote_parameters(self, recurse: bool = True) -> list[Any]:
            return [Reference(each) for each in self.module.parameters(recurse)]

        def get_module_rref(self) -> Reference:
            return Reference(self.module)

    rpc.RRef = Reference
    rpc.remote = _called(Reference)
    rpc.rpc_sync = _called(lambda result: result)
    rpc.rpc_async = _called(_finished)
    rpc.init_rpc = rpc.shutdown = lambda *args, **kwargs: None
    rpc.get_worker_info = lambda worker_name=None: Worker(worker_name or "here")
    nn.RemoteModule = remote_modules.RemoteModule = RemoteModule
