"""What is known of each parameter and optimizer, as the plain data that goes to the parent."""

from __future__ import annotations

import itertools
from typing import Any

from .rpc_here import remote_parameters
from .steps import Recorder, norm_of
from .unregistered import trainable
from .where import Line, Origins


def parameter_facts(
    model: Any, optimizers: list[Any], recorder: Recorder, origins: Origins, reach: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """One entry for each parameter. `optimizers` are the file's; membership is by the tensor's identity;
    `reach` says why a parameter has no gradient, and under "" where numbers stopped being finite."""
    registered = {id(parameter) for parameter in itertools.chain(model.parameters(), remote_parameters(model))}
    held = [{id(p) for group in each.param_groups for p in group["params"]} for each in optimizers]
    facts = []
    for name, parameter in trainable(model).items():
        history = recorder.histories.get(name)
        layer = name.rpartition(".")[0]
        facts.append(
            {
                "name": name,
                "layer": layer or name,
                "shape": list(parameter.shape),
                "count": parameter.numel(),
                "requires_grad": bool(parameter.requires_grad),
                "registered": id(parameter) in registered,
                "place": origins.places.place(line_of(model, name, origins)),
                "optimizers": [index for index, each in enumerate(held) if id(parameter) in each],
                "rates": _rates(parameter, optimizers),
                "decays": _decays(parameter, optimizers),
                "gradient": history.gradient if history else "unknown",
                "gradient_norm": history.norms[0] if history and history.norms else None,
                "update_ratio": history.ratios[0] if history and history.ratios else None,
                "ratios": history.ratios if history else [],
                "first_ratios": history.first_ratios() if history else [],
                "size": history.size if history else None,
                "weight_norm": _norm(parameter),
                "moved": history.moved if history and history.reached is None else None,
                "fate": history.fate if history else None,
                "own": type(_owner(model, name)).__module__.split(".")[0] != "torch",
                "frozen": origins.places.place(origins.of_freezing(parameter)),
                "reach": reach.get("" if history and history.gradient == "not finite" else name),
            }
        )
    return facts


def _rates(parameter: Any, optimizers: list[Any]) -> list[float]:
    """The learning rates of the groups that hold a parameter."""
    groups = [group for each in optimizers for group in each.param_groups if "lr" in group]
    return [float(group["lr"]) for group in groups if any(parameter is each for each in group["params"])]


def _decays(parameter: Any, optimizers: list[Any]) -> bool:
    """Does a step shrink a parameter even if its gradient is 0?"""
    groups = [group for each in optimizers for group in each.param_groups if group.get("weight_decay")]
    return any(parameter is each for group in groups for each in group["params"])


def _norm(parameter: Any) -> float | None:
    """The size of a weight; None for one without data."""
    if parameter.is_meta:
        return None
    return norm_of(parameter)


def optimizer_facts(model: Any, optimizers: list[Any], from_file: bool, origins: Origins) -> list[dict[str, Any]]:
    """One entry for each optimizer: its class, the line that builds it, the names it holds, its learning
    rates."""
    names = {id(parameter): name for name, parameter in trainable(model).items()}
    facts = []
    for each in optimizers:
        parameters = [p for group in each.param_groups for p in group["params"]]
        facts.append(
            {
                "name": type(each).__name__,
                "place": origins.places.place(origins.of_optimizer(each)) if from_file else None,
                "parameters": [names[id(p)] for p in parameters if id(p) in names],
                "others": sum(id(p) not in names for p in parameters),
                "rates": [float(group["lr"]) for group in each.param_groups if "lr" in group],
            }
        )
    return facts


def line_of(model: Any, name: str, origins: Origins) -> Line | None:
    """The user's line that makes the parameter: `self.w = nn.Parameter(…)`, or the layer that has it."""
    owner, last = model, name
    head, dot, tail = name.rpartition(".")
    if "[" in name:
        return origins.of_attribute(_module(model, name.partition("[")[0].rpartition(".")[0]), _attribute(name))
    if dot:
        owner, last = _module(model, head), tail
    return origins.of_attribute(owner, last)


def _owner(model: Any, name: str) -> Any:
    return _module(model, name.rpartition(".")[0]) if "[" not in name else None


def _attribute(name: str) -> str:
    return name.partition("[")[0].rpartition(".")[2]


def _module(model: Any, path: str) -> Any:
    for part in path.split(".") if path else []:
        model = getattr(model, part, model)
    return model
