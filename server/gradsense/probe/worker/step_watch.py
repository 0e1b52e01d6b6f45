"""What becomes of gradients that have arrived: which optimizers step, what they find, and who cleared it
before."""

from __future__ import annotations

import sys
from typing import Any

from .steps import local
from .where import Line, Places


class StepWatch:
    """Watches every optimizer of the process from `start` on; `clear` begins a new batch."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._found: dict[int, bool] = {}
        self._cleared: Line | None = None
        self._some_arrived = False

    def start(self) -> None:
        """Begin to watch. The process ends with the probe, so nothing is undone."""
        import torch
        from torch.optim.optimizer import register_optimizer_step_post_hook

        register_optimizer_step_post_hook(self._stepped)
        watch = self
        owners: tuple[Any, ...] = (torch.nn.Module, torch.optim.Optimizer)
        for owner in owners:
            original = owner.zero_grad

            def zero_grad(self: Any, *args: Any, original: Any = original, **kwargs: Any) -> Any:
                if watch._some_arrived and watch._cleared is None:
                    watch._cleared = watch._places.current(sys._getframe(1))
                return original(self, *args, **kwargs)

            owner.zero_grad = zero_grad

    def clear(self) -> None:
        self._found.clear()
        self._cleared = None
        self._some_arrived = False

    def arrived(self) -> None:
        """A gradient has reached a parameter."""
        self._some_arrived = True

    def fate_of(self, parameter: Any) -> dict[str, Any] | None:
        """`how`: never-stepped; cleared, with the line that clears; not-stored (nothing in `.grad`); zeroed by whatever
        else; None where a step found a gradient.
        """
        found = self._found.get(id(parameter))
        if found is None:
            return {"how": "never-stepped", "place": None}
        if found:
            return None
        if self._cleared is not None:
            return {"how": "cleared", "place": self._places.place(self._cleared)}
        return {"how": "not-stored" if parameter.grad is None else "zeroed", "place": None}

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                there = gradient is not None and (gradient.is_sparse or bool((local(gradient) != 0).any()))
                self._found[id(parameter)] = there or self._found.get(id(parameter), False)
