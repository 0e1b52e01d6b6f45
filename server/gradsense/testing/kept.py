"""What training changes, kept and put back: a test leaves a model as it found it, bit by bit."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def kept(model: Any, optimizers: list[Any]) -> Iterator[None]:
    """Weights, buffers, gradients, modes, the optimizers' states and groups, and the random generators are the same
    after the block as before it, also when it raises.
    """
    import torch

    tensors = [(each, each.detach().clone()) for each in (*model.parameters(), *model.buffers())]
    gradients = [(each, None if each.grad is None else each.grad.clone()) for each in model.parameters()]
    modes = [(each, each.training) for each in model.modules()]
    states = [
        (
            each,
            {key: _copied(value) for key, value in each.state.items()},
            [{name: value for name, value in group.items() if name != "params"} for group in each.param_groups],
        )
        for each in optimizers
    ]
    numbers = _generators()
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in tensors:
                tensor.copy_(value)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, training in modes:
            module.training = training
        for optimizer, state, groups in states:
            optimizer.state.clear()
            optimizer.state.update(state)
            for group, before in zip(optimizer.param_groups, groups, strict=False):
                group.update(before)
        _set_generators(numbers)


def _copied(state: Any) -> Any:
    """An optimizer's state of one parameter; its tensors are detached already."""
    return copy.deepcopy(state)


def _generators() -> dict[str, Any]:
    import torch

    numbers = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        numbers["cuda"] = torch.cuda.get_rng_state_all()
    if "numpy" in sys.modules:
        numbers["numpy"] = sys.modules["numpy"].random.get_state()
    return numbers


def _set_generators(numbers: dict[str, Any]) -> None:
    import torch

    random.setstate(numbers["python"])
    torch.set_rng_state(numbers["torch"])
    if "cuda" in numbers:
        torch.cuda.set_rng_state_all(numbers["cuda"])
    if "numpy" in numbers:
        sys.modules["numpy"].random.set_state(numbers["numpy"])
