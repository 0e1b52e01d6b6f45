"""Real optimizer steps: what gradient reaches each parameter, and what a step does to it."""

from __future__ import annotations

import contextlib
import inspect
import math
from dataclasses import dataclass, field
from typing import Any, Callable

from .unregistered import trainable

STEPS = 3
_LEAST_NORM = 1e-15  # squares of what is much smaller are 0 in float32


@dataclass
class History:
    """What happened to one parameter over all steps and seeds; one entry each."""

    gradients: list[str] = field(default_factory=list)  # none, zero, finite, not finite
    norms: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    moved: bool = False
    steps: int = 0
    reached: bool | None = None  # of a model without data: whether the loss has a way to it
    firsts: list[int] = field(default_factory=list)  # where in `ratios` a model's first step is
    size: float | None = None  # root mean square before any step
    fate: Any = None  # what became of a gradient that arrived and moved nothing (`step_watch.py`)

    def saw(self, gradient: Any) -> None:
        """Note the gradient that a parameter has before a step."""
        if gradient is None:
            self.gradients.append("none")
            return
        gradient = local(gradient)
        if gradient.is_sparse:
            gradient = gradient.coalesce().values()
        norm = norm_of(gradient)
        if not math.isfinite(norm):
            self.gradients.append("not finite")
        else:
            self.gradients.append("finite" if norm > 0 else "zero")
            self.norms.append(norm)

    def stepped(self, before: Any, after: Any) -> None:
        """Note what a step changed."""
        import torch

        before, after = local(before), local(after)
        self.steps += 1
        if not torch.equal(before, after):
            self.moved = True
        size = norm_of(before)
        if self.size is None:
            self.size = size / max(1, before.numel()) ** 0.5
        if size > 0:
            ratio = norm_of(after - before) / size
            if math.isfinite(ratio):
                self.ratios.append(ratio)

    def first_ratios(self) -> list[float]:
        """What the first step of each model has changed."""
        return [self.ratios[each] for each in [0, *self.firsts] if each < len(self.ratios)]

    @property
    def gradient(self) -> str:
        """One word for all: not finite if ever; else finite if ever; else zero if ever; else none."""
        if self.reached is not None:
            return "reached" if self.reached else "none"
        for word in ("not finite", "finite", "zero"):
            if word in self.gradients:
                return word
        return "none" if self.gradients else "unknown"


def norm_of(tensor: Any) -> float:
    """The 2-norm of a tensor. Where float32 can't hold the squares they are added up in float64, which takes five times
    as long."""
    import torch

    values = local(tensor.detach())
    if values.is_complex():
        values = torch.view_as_real(values)
    if not values.numel():
        return 0.0
    if values.dtype == torch.float32:
        norm = float(torch.linalg.vector_norm(values))
        if _LEAST_NORM < norm < math.inf:
            return norm
    return float(torch.linalg.vector_norm(values, dtype=torch.float64))


def local(tensor: Any) -> Any:
    """What this rank holds of a tensor that is spread over several (a DTensor); any other as it is. What is asked of
    the whole would wait for the other ranks."""
    return getattr(tensor, "_local_tensor", tensor)


class Recorder:
    """Histories of a model's parameters by name, over several runs."""

    def __init__(self) -> None:
        self.histories: dict[str, History] = {}
        self._before: dict[str, Any] = {}

    def before_step(self, model: Any) -> None:
        for name, parameter in trainable(model).items():
            self.histories.setdefault(name, History()).saw(parameter.grad)
            self._before[name] = parameter.detach().clone()

    def begin(self) -> None:
        """A new model's first step comes next."""
        for each in self.histories.values():
            each.firsts.append(len(each.ratios))

    def after_step(self, model: Any) -> None:
        for name, parameter in trainable(model).items():
            before = self._before.get(name)
            if before is not None and before.shape == parameter.shape:
                self.histories[name].stepped(before, parameter.detach())
        self._before.clear()


def train(
    model: Any,
    batch: Callable[[], list[Any]],
    optimizers: list[Any],
    loss_of: Callable[[Any], Any],
    recorder: Recorder,
    around: Callable[[int], Any] | None = None,
    on_loss: Callable[[Any], None] | None = None,
) -> None:
    """`STEPS` steps of `model` on fresh batches. `around(step)` is a context for the forward pass and the
    loss.

    Raises what the user's code raises. A loss without a graph is no error here: its parameters get no
    gradient.
    """
    if not _required(model.train):  # a method of the user's own, maybe, that wants something
        model.train()
    for step in range(STEPS):
        for optimizer in optimizers:
            optimizer.zero_grad()
        for parameter in trainable(model).values():
            parameter.grad = None
        with around(step) if around is not None else contextlib.nullcontext():
            loss = loss_of(model(*batch()))
        if on_loss is not None:
            on_loss(loss)
        if loss is not None and loss.requires_grad:
            loss.backward()
        recorder.before_step(model)
        for optimizer in optimizers:
            take_step(optimizer, loss)
        recorder.after_step(model)


def leaves_of(loss: Any) -> set[int]:
    """The ids of the tensors at which autograd's graph of a loss ends."""
    found: set[int] = set()
    todo, seen = [loss.grad_fn], {loss.grad_fn}
    while todo:
        function = todo.pop()
        variable = getattr(function, "variable", None)
        if variable is not None:
            found.add(id(variable))
        for each, _ in function.next_functions:
            if each is not None and each not in seen:
                seen.add(each)
                todo.append(each)
    return found


def take_step(optimizer: Any, loss: Any) -> None:
    """One step, for which the gradients are there."""
    if "closure" in _required(optimizer.step):
        optimizer.step(lambda: loss)  # LBFGS and its like
    else:
        optimizer.step()


def _required(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.default is inspect.Parameter.empty]
