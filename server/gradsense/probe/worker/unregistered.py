"""A model's parameters by name: those it has registered, and those it merely keeps in lists, dicts and
attributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .rpc_here import Reference


def trainable(model: Any) -> dict[str, Any]:
    """Every parameter of the model by name, unregistered ones too, each tensor once."""
    found = dict(model.named_parameters())
    known = {id(parameter) for parameter in found.values()}
    for name, parameter in unregistered(model).items():
        if id(parameter) not in known:
            known.add(id(parameter))
            found[name] = parameter
    return found


def unregistered(model: Any) -> dict[str, Any]:
    """Parameters that `model.parameters()` does not have, by a name such as `layers[0].weight`."""
    import torch

    known = {id(parameter) for parameter in model.parameters()}
    found: dict[str, Any] = {}

    def add(name: str, value: Any, depth: int) -> None:
        if isinstance(value, torch.nn.Module):
            if not any(value is each for each in model.modules()):
                for inner, parameter in value.named_parameters():
                    if id(parameter) not in known:
                        found.setdefault(f"{name}.{inner}", parameter)
        elif isinstance(value, torch.Tensor):
            # What FSDP keeps of several parameters together is no parameter beside them.
            is_own = not getattr(value, "_is_flat_param", False)
            if value.requires_grad and value.is_leaf and id(value) not in known and is_own:
                found.setdefault(name, value)
        elif depth < 4:
            for key, each in _items(value):
                add(f"{name}{key}", each, depth + 1)

    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            if not name.startswith("_") and not isinstance(value, torch.nn.Module):
                add(f"{prefix}.{name}" if prefix else name, value, 0)
    return found


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        for index, each in enumerate(value[:1000]):
            yield f"[{index}]", each
    elif isinstance(value, dict):
        for key, each in list(value.items())[:1000]:
            yield f"[{key!r}]", each
    elif isinstance(value, Reference):
        yield "", value.value
