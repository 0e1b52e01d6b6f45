"""The last stage: what is wrong with a model that trains. Wrong gradients, samples that mix, layers in eval mode.

Each check has its share of the time that the probe has taken so far; what is too large for it is said to be unchecked.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .mixing import Mixing
from .numerics import Calls, Slope, Slopes, Unchecked, check_function, seed
from .values import with_tensors

if TYPE_CHECKING:
    from .class_probe import ClassProbe
    from .script import ScriptProbe

_LEAST_SECONDS = 0.04
_SHARE = 0.15
"""Of the time until now, for one check."""
_MOST_PARAMETERS = 6
MOST_CALLS = 3
_FOR_FUNCTIONS = 5
"""Times as long for the slopes of a model with Functions of its own."""


class Checks:
    """The checks of a probed class or script. What user code raises in here is no finding."""

    def __init__(self, probe: ClassProbe | ScriptProbe) -> None:
        self._probe = probe
        self._origins = probe.probe.origins
        self._places = probe.probe.places
        self._calls = Calls(self._places)
        self._facts: list[dict[str, Any]] = []
        self._unchecked: dict[str, str] = {}

    @property
    def _seconds(self) -> float:
        return _LEAST_SECONDS + _SHARE * (time.thread_time() - self._probe.probe.begun)

    def eval_layers(self, model: Any, name: str = "", is_so: Callable[[Any], bool] = lambda layer: True) -> None:
        """Dropout and batch norm that are in eval mode while the model is trained, as `is_so` of each; by their names
        below `name`."""
        for path, layer in asleep(model):
            path = ".".join(filter(None, (name, path)))
            place = self._places.place(self._origins.of_module(layer))
            if place is not None and is_so(layer):
                kind = type(layer).__name__
                self._facts.append({"kind": "eval-layer", "name": path, "layer": kind, "place": place})

    def mixing(self, module: Any, args: Any, body: Any) -> None:
        """Whether `module(*args)` mixes samples."""
        check = Mixing(module, args, self._origins, body, self._seconds)
        try:
            found = check.found()
        except (Exception, SystemExit):
            return  # a model that can't be called so has no answer
        if found is not None and found not in self._facts:
            self._facts.append(found)
        if check.too_large:
            self._unchecked["samples that mix"] = "it is too large"

    def functions(self, call: Callable[[], Any]) -> None:
        """The custom Functions that `call` uses."""
        seed()
        try:
            with self._calls.active():
                call()
        except (Exception, SystemExit):
            return
        self.noted_functions(self._calls)

    def noted_functions(self, calls: Calls) -> None:
        """The custom Functions of some calls."""
        for function, args in calls.seen.items():
            try:
                found = check_function(function, args, self._places, self._probe.device)
            except Unchecked as error:
                self._unchecked[f"`{function.__name__}`"] = str(error)
                continue
            if found is not None and found["place"] is not None:
                self._facts.append({**found, "parameters": []})

    def slopes(self, model: Any, loss_of: Callable[[Any], Any], lines: dict[str, Any]) -> None:
        """Gradients of the loss, beside finite differences; `model` is a copy that is changed. `lines` are the places
        that make its parameters."""
        seconds = self._seconds * (_FOR_FUNCTIONS if self._calls.seen else 1)
        try:
            wrong = Slopes(model, loss_of, self._places, seconds, self._probe.device).wrong()
        except Unchecked as error:
            self._unchecked["gradients by finite differences"] = str(error)
            return
        if not wrong:
            return
        named = [{"name": name, "place": lines.get(name)} for name in list(wrong)[:_MOST_PARAMETERS]]
        functions = [each for each in self._facts if each["kind"] == "function"]
        for each in functions:
            each["parameters"] = named
        if not functions and not self._calls.seen:
            self._facts.append(_slope_fact(wrong, lines))

    def send(self) -> None:
        self._probe.channel.send("part", name="checks", value=self._facts)
        self._probe.channel.send("part", name="unchecked", value=self._unchecked)


class Outermost:
    """Notes the first calls of Modules that no other one calls, with their arguments."""

    def __init__(self, model: Any) -> None:
        self._own = {id(each) for each in model.modules()}
        self._depth = 0
        self.calls: list[tuple[Any, Any]] = []

    def __enter__(self) -> Outermost:
        from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

        self._hooks = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]
        return self

    def __exit__(self, *details: Any) -> None:
        for each in self._hooks:
            each.remove()

    def _enter(self, module: Any, args: Any) -> None:
        known = any(module is each for each, _ in self.calls)
        has_weights = next(module.parameters(), None) is not None
        if self._depth == 0 and id(module) in self._own and has_weights and not known and len(self.calls) < MOST_CALLS:
            self.calls.append((module, with_tensors(args, lambda each: each.detach().clone())))
        self._depth += 1

    def _leave(self, module: Any, args: Any, output: Any) -> None:
        self._depth -= 1


def doubled(values: Any) -> Any:
    """Arguments with their floating tensors in float64."""
    return with_tensors(values, lambda each: each.double() if each.is_floating_point() else each)


def duplicate(model: Any) -> Any | None:
    """The model again, which may be changed; None where it can't be copied."""
    try:
        return copy.deepcopy(model)
    except Exception:
        return None


def _slope_fact(wrong: dict[str, Slope], lines: dict[str, Any]) -> dict[str, Any]:
    name, slope = max(wrong.items(), key=lambda item: abs(item[1].gradient - item[1].slope))
    return {
        "kind": "slope",
        "names": list(wrong),
        "name": name,
        "place": lines.get(name),
        "gradient": slope.gradient,
        "slope": slope.slope,
    }


def asleep(model: Any) -> list[tuple[str, Any]]:
    """Layers that do something else in eval mode, and are in it, below the outermost Module in eval mode that has
    anything to train: a frozen part may well be in eval mode."""
    import torch

    nn: Any = torch.nn
    found: dict[int, tuple[str, Any]] = {}

    def visit(module: Any, path: str) -> None:
        flags = [each.requires_grad for each in module.parameters()]
        if path and flags and not module.training and not any(flags):
            return
        dropout = isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
        if not module.training and (dropout or isinstance(module, nn.modules.batchnorm._BatchNorm)):
            found.setdefault(id(module), (path, module))
        for name, child in module.named_children():
            visit(child, f"{path}.{name}" if path else name)

    visit(model, "")
    return list(found.values())
