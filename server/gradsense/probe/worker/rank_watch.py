"""What one rank must know of itself so that the parent can compare it with the others.

Whether a gradient is computed *here* is not in `.grad`: DDP and FSDP put the average of all ranks there. It is seen
where it arrives at the tensor that was computed with, which under FSDP is not the parameter but a stand-in for it.
"""

from __future__ import annotations

import functools
import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .steps import History, local
from .where import Line, Origins, Places

_WRAPPERS = re.compile(r"(^|\.)(_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)(?=\.|$)")
_COLLECTIVES = ("all_reduce", "all_gather", "all_gather_into_tensor", "broadcast", "reduce", "reduce_scatter_tensor")
_PIECE = 2**22  # elements of a parameter that are looked at together
_BITS = {8: "int64", 4: "int32", 2: "int16", 1: "uint8"}


class RankWatch:
    """Follows parameters through DDP and FSDP; `facts` tells what happened to them on this rank."""

    def __init__(self, places: Places, origins: Origins) -> None:
        self._places = places
        self._origins = origins
        self._arrived: set[int] = set()
        self._slots: dict[tuple[int, str], tuple[Any, Any]] = {}
        """By Module and attribute: the Module, and the parameter that FSDP puts a stand-in for."""
        self._hooked: dict[int, Any] = {}
        self._prints: dict[int, dict[int, list[float]]] = {}
        self._parallel: list[Any] = []
        """The DDP Modules that are running."""
        self._called: set[int] = set()
        self._direct: Line | None = None
        self._synced: list[tuple[bool, Line | None]] = []
        self._unsynced: Line | None = None
        self._communicates = False
        self._outermost: list[Any] = []
        self._ran: set[int] = set()
        self._told: list[dict[str, Any]] | None = None

    def watch(self, tell: Callable[[int, int], None]) -> None:
        """From now on; `tell` gets rank and number of ranks once a process group has been started."""
        import torch.distributed

        library: Any = torch.distributed
        if not library.is_available():
            return
        start = library.init_process_group

        def init_process_group(*args: Any, **kwargs: Any) -> Any:
            result = start(*args, **kwargs)
            tell(library.get_rank(), library.get_world_size())
            return result

        def noted(function: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                file = sys._getframe(1).f_code.co_filename
                self._communicates = self._communicates or self._places.is_users(file)
                return function(*args, **kwargs)

            return call

        library.init_process_group = init_process_group
        for name in _COLLECTIVES:
            if hasattr(library, name):
                setattr(library, name, noted(getattr(library, name)))

    # --- while it runs

    def calls(self, module: Any, is_outermost: bool, line: Line | None) -> None:
        """A Module is about to be called."""
        import torch

        if is_outermost:
            for each in module.modules():
                for name, parameter in each._parameters.items():
                    if parameter is not None:
                        self._slots.setdefault((id(each), name), (each, parameter))
        if not torch.is_grad_enabled():
            return
        self._ran.add(id(module))
        if is_outermost and not any(module is each for each in self._outermost):
            self._outermost.append(module)
        if _is_ddp(module):
            self._parallel.append(module)
            self._called.add(id(module))
            self._synced.append((bool(module.require_backward_grad_sync), line))
        elif (
            not self._parallel
            and is_outermost
            and module.training
            and any(each.module is module for each in self._ddps())
        ):
            self._direct = self._direct or line

    def returns(self, module: Any) -> None:
        """A Module has been called: what it has computed with is still there."""
        if self._parallel and module is self._parallel[-1]:
            self._parallel.pop()
        for name in module._parameters.keys() | {name for owner, name in self._slots if owner == id(module)}:
            _, parameter = self._slots.get((id(module), name), (None, None))
            stand_in = getattr(module, name, None)
            if parameter is None or stand_in is parameter or stand_in is None or not stand_in.requires_grad:
                continue
            if stand_in.is_leaf:
                if id(stand_in) in self._hooked:
                    continue
                self._hooked[id(stand_in)] = stand_in
            stand_in.register_hook(functools.partial(self._arrives_at, id(parameter)))

    def _arrives_at(self, key: int, gradient: Any) -> None:
        self.arrives(key)

    def arrives(self, key: int) -> None:
        """A gradient has reached the parameter of this id, or its stand-in."""
        self._arrived.add(key)

    def steps_next(self, parameters: list[Any]) -> None:
        """An optimizer is about to step."""
        for parameter in parameters:
            if id(parameter) not in self._prints and not is_sharded(parameter):
                self._prints[id(parameter)] = {0: fingerprint(parameter)}
        if self._synced and not any(synced for synced, _ in self._synced):
            self._unsynced = self._unsynced or self._synced[-1][1]
        self._synced.clear()

    def stepped(self, parameter: Any, step: int) -> None:
        """A parameter has been changed for the `step`-th time."""
        if not is_sharded(parameter):
            self._prints.setdefault(id(parameter), {})[step] = fingerprint(parameter)

    def has_news(self) -> bool:
        """Whether other layers than before have no part in a loss. Begins anew."""
        before, self._told = (
            self._told,
            [
                {"name": cleaned(name), "place": self._places.place(self._origins.of_module(each))}
                for outermost in self._outermost
                if id(outermost) in self._ran
                for name, each in unwrapped(outermost).named_modules()
                if id(each) not in self._ran and any(owner == id(each) for owner, _ in self._slots)
            ],
        )
        self._ran.clear()
        return before != self._told

    def unused(self) -> list[dict[str, Any]]:
        """The layers with parameters that were not called for the last loss, by name, with the lines that make them."""
        return self._told or []

    def _ddps(self) -> Iterator[Any]:
        return (each for each in self._origins.modules if _is_ddp(each))

    # --- what is told

    def facts(self, parameters: dict[str, Any], histories: dict[str, History]) -> dict[str, Any]:
        """For the parent (`probe/ranks.py`): of each parameter, by the name that it is told by, what happened to it
        here; and of the run, how its ranks are kept alike."""
        import torch

        library: Any = torch.distributed
        wrapped = {id(parameter) for each in self._ddps() for parameter in each.module.parameters()}
        on = library.is_available() and library.is_initialized()
        return {
            "parameters": {
                name: self._fact(parameter, histories.get(name), id(parameter) in wrapped)
                for name, parameter in parameters.items()
            },
            "initialised": on,
            "rank": library.get_rank() if on else None,
            "world": library.get_world_size() if on else None,
            "called": any(id(each) in self._called for each in self._ddps()),
            "direct": self._places.place(self._direct),
            "unsynced": self._places.place(self._unsynced),
            "communicates": self._communicates,
        }

    def _fact(self, parameter: Any, history: History | None, wrapped: bool) -> dict[str, Any]:
        return {
            "arrived": id(parameter) in self._arrived,
            "sharded": is_sharded(parameter),
            "wrapped": wrapped,
            "shape": list(parameter.shape),
            "elements": local(parameter).numel(),
            "gradient": history.gradient if history else "unknown",
            "norm": history.norms[0] if history and history.norms else None,
            "ratio": history.ratios[0] if history and history.ratios else None,
            "moved": bool(history and history.moved),
            "prints": {str(step): each for step, each in self._prints.get(id(parameter), {}).items()},
        }


def cleaned(name: str) -> str:
    """A parameter's name without what FSDP, compilation and checkpointing put between."""
    return _WRAPPERS.sub("", name).lstrip(".")


def unwrapped(module: Any) -> Any:
    """The Module inside of DDP; any other as it is."""
    return module.module if _is_ddp(module) else module


def _is_ddp(module: Any) -> bool:
    return any(each.__name__ == "DistributedDataParallel" for each in type(module).__mro__)


def is_sharded(parameter: Any) -> bool:
    """Does this rank hold a part of it, or may it? DTensors, and what FSDP1 keeps in flat parameters."""
    flat = getattr(parameter, "_fsdp_flattened", False) or getattr(parameter, "_is_flat_param", False)
    return bool(flat) or local(parameter) is not parameter


def fingerprint(parameter: Any) -> list[float]:
    """A check sum of all bits, by which two ranks are the same or not, and two numbers, by which they are close: the
    2-norm and a sum with weights."""
    import torch

    bits, squares, sums = 0, 0.0, 0.0
    with torch.no_grad(), torch._C.DisableTorchFunction():
        values = parameter.detach()
        if values.is_complex():
            values = torch.view_as_real(values)
        values = values.reshape(-1)
        for start in range(0, values.numel(), _PIECE):
            piece = values[start : start + _PIECE].contiguous()
            places = torch.arange(1, piece.numel() + 1, device=piece.device)
            whole = piece.view(getattr(torch, _BITS[piece.element_size()])).to(torch.int64)
            bits = (bits * 31 + int((whole * places).sum())) % 2**52  # exact in JSON's floats
            fine = piece.double()
            squares += float((fine * fine).sum())
            sums += float((fine * torch.cos(places.double())).sum())
    return [float(bits), math.sqrt(squares) if squares >= 0 else squares, sums]
