"""`assert_trains`: a few real steps in the process of the test, looked at as the probe does, and taken back."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradsense.probe.report import ParameterReport, ProbeFinding
from gradsense.probe.verdict import Facts, judge
from gradsense.testing.kept import kept
from gradsense.testing.lightning import configured_at, is_lightning, loss_of, optimizers_of

if TYPE_CHECKING:
    from gradsense.probe.worker.flow import Flow
    from gradsense.probe.worker.steps import History, Recorder
    from gradsense.probe.worker.where import Line, Places
    from gradsense.testing.written import Written

_OURS = str(Path(__file__).resolve().parents[1])
_OF_OURS = r"You are trying to `self\.log|Using `torch\.compile\(module\)` when there are global hooks"
"""Warnings that training itself would not give: nothing logs here, and the hook is ours."""


def assert_trains(
    model: Any,
    batch: Any,
    loss_fn: Callable[..., Any] | None = None,
    optimizer: Any = None,
    *,
    steps: int = 3,
) -> None:
    """Take `steps` optimizer steps on `batch`, and assert that each of them can change every parameter of `model`.

    `batch` is `(inputs, target)`; inputs are a tensor, a tuple (positional arguments) or a dict (keyword arguments) for
    `model`. `loss_fn(output, target)` gives the loss; `optimizer` is one or several that hold the model's parameters.
    A LightningModule takes its batch alone: `training_step` and `configure_optimizers` say the rest.

    The steps are taken in training mode; layers in eval mode within a model that isn't stay so. Afterwards the model,
    the optimizers, the batch and the random generators are as they were. Frozen parameters (`requires_grad=False`) are
    left alone.

    Raises AssertionError that names each parameter that won't learn, with its cause and line; TypeError or ValueError
    for a batch or arguments of another form; and what the model itself raises.
    """
    __tracebackhide__ = True
    called = _caller(sys._getframe(1))
    _check(model, steps)
    configured = loss_fn is None and is_lightning(model)
    loss = partial(loss_of, model, batch) if configured else _loss(model, batch, loss_fn)
    optimizers = (lambda: optimizers_of(model)) if configured else (lambda: _several(optimizer))
    with _taken_back(model, batch, optimizers) as several:
        facts, histories = _looked_at(model, several, loss, steps, called, configured)
    stuck, told = _judged(facts)
    if stuck and any(history.gradient in ("zero", "not finite") for history in histories.values()):
        with suppress(Exception), _taken_back(model, batch, optimizers) as several:
            stuck, told = _judged(_looked_closer(model, several, loss, steps, facts, histories))
    if stuck:
        raise AssertionError(_message(model, stuck, told))


@contextmanager
def _taken_back(model: Any, batch: Any, optimizers: Callable[[], list[Any]]) -> Iterator[list[Any]]:
    """Training meanwhile, and all as before afterwards. Gives the optimizers."""
    with kept(model, batch) as keep:
        several = optimizers()
        for each in several:
            keep(each)
        with _as_in_training(model, several):
            yield several


def _check(model: Any, steps: int) -> None:
    from torch.nn.parameter import is_lazy

    if steps < 1:
        raise ValueError(f"assert_trains needs at least one step, not {steps}.")
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        raise TypeError(
            f"{type(model).__name__} has lazy layers without a shape yet. Call it on its inputs once, then build the "
            "optimizer."
        )


def _loss(model: Any, batch: Any, loss_fn: Callable[..., Any] | None) -> Callable[[], Any]:
    """The function that computes a loss."""
    if loss_fn is None:
        raise TypeError("assert_trains needs loss_fn and optimizer, but for a LightningModule.")
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError(
            "assert_trains takes (inputs, target) as its batch, target None where the loss needs none. "
            "Put several inputs into a tuple or a dict."
        )
    inputs, target = batch
    return lambda: loss_fn(_output(model, inputs), target)


def _output(model: Any, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def _several(optimizer: Any) -> list[Any]:
    """The optimizers that are given."""
    if optimizer is None:
        raise TypeError("assert_trains needs loss_fn and optimizer, but for a LightningModule.")
    several = list(optimizer) if isinstance(optimizer, (tuple, list)) else [optimizer]
    for each in several:
        if not hasattr(each, "param_groups") or not hasattr(each, "step"):
            raise TypeError(f"assert_trains takes one optimizer or a list of them, not {type(each).__name__}.")
    return several


@contextmanager
def _as_in_training(model: Any, optimizers: Sequence[Any]) -> Iterator[None]:
    """Training mode, gradients recorded, nothing compiled. A schedule that warms up from 0 is beyond its beginning."""
    import torch

    if not model.training:
        model.train()
    for group in (group for each in optimizers for group in each.param_groups):
        if "lr" in group and float(group["lr"]) == 0 and float(group.get("initial_lr", 0)) > 0:
            group["lr"] = group["initial_lr"]
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", _OF_OURS)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))  # in a compiled region no line is seen
        yield


def _judged(facts: Facts) -> tuple[list[ParameterReport], tuple[ProbeFinding, ...]]:
    """The parameters that won't learn, and what is to be said of them.

    What is frozen is no fault, registered or not: whoever freezes a layer knows.
    """
    parameters, findings = judge(facts)
    return [each for each in parameters if each.cause is not None and each.requires_grad], findings


def _looked_at(
    model: Any, optimizers: list[Any], loss_of: Callable[[], Any], steps: int, called: Line, configured: bool
) -> tuple[Facts, Mapping[str, History]]:
    """What is seen in some steps, and what happened to each parameter. `called` is the line of the test."""
    from gradsense.probe.worker.facts import parameter_facts
    from gradsense.probe.worker.flow import Flow
    from gradsense.probe.worker.steps import Recorder
    from gradsense.testing.written import Written

    places = _places(called[0], model)
    recorder, flow = Recorder(), Flow(places, device=None)
    _train(model, optimizers, loss_of, steps, recorder, flow, watched=0)
    reach = _reach(model, flow)
    origins = Written(places, model)
    facts = Facts(
        type(model).__name__,
        called[0],
        parameter_facts(model, optimizers, recorder, origins, reach),
        _held(model, optimizers, origins, configured_at(model) if configured else called),
        "self" if configured else "model",
    )
    return facts, recorder.histories


def _looked_closer(
    model: Any,
    optimizers: list[Any],
    loss_of: Callable[[], Any],
    steps: int,
    facts: Facts,
    histories: Mapping[str, History],
) -> Facts:
    """The same steps again, one of them watched operation by operation: `facts` with the ones that make a gradient 0,
    or not finite."""
    from gradsense.probe.worker.flow import Flow
    from gradsense.probe.worker.steps import Recorder
    from gradsense.probe.worker.vanish import GradientWatch, explain_closely, step_to_watch

    flow = Flow(_places(facts.path, model), device=None)
    flow.watch = GradientWatch()
    try:
        _train(model, optimizers, loss_of, steps, Recorder(), flow, watched=step_to_watch(histories, steps))
        found = explain_closely(flow, flow.watch, model, histories)
    finally:
        flow.watch.close()
    told = [
        each | {"reach": found.get("" if each["gradient"] == "not finite" else each["name"], each["reach"])}
        for each in facts.parameters
    ]
    return replace(facts, parameters=told)


def _places(path: str, model: Any) -> Places:
    """The lines of the test, and of whatever defines the model."""
    from gradsense.probe.worker.where import Places

    return Places(path, None, (_OURS,), _package_of(model))


def _train(
    model: Any,
    optimizers: list[Any],
    loss_of: Callable[[], Any],
    steps: int,
    recorder: Recorder,
    flow: Flow,
    watched: int | None,
) -> None:
    """Take `steps` steps, of which `flow` records the one of the number `watched`."""
    from gradsense.probe.worker.steps import take_step
    from gradsense.probe.worker.unregistered import trainable

    for step in range(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        for parameter in trainable(model).values():
            parameter.grad = None
        if step == watched:
            with flow.active(trainable(model), recording=True):
                loss = loss_of()
            flow.loss(loss)
        else:
            loss = loss_of()
        if getattr(loss, "requires_grad", False):
            loss.backward()
        recorder.before_step(model)
        for optimizer in optimizers:
            take_step(optimizer, loss)
        recorder.after_step(model)


def _reach(model: Any, flow: Flow) -> dict[str, dict[str, Any]]:
    """Why parameters get no gradient, by name, and under "" where numbers stop being finite."""
    from gradsense.probe.worker.unregistered import trainable

    reach = {
        name: found
        for name, parameter in trainable(model).items()
        if parameter.requires_grad and (found := flow.explain(parameter)) is not None
    }
    not_finite = flow.not_finite()
    if not_finite is not None:
        reach[""] = {"how": "not-finite", "words": "", "place": not_finite}
    flow.forget()
    return reach


def _held(model: Any, optimizers: list[Any], origins: Written, built: Line) -> list[dict[str, Any]]:
    """What is known of each optimizer; one without a name where there is none."""
    from gradsense.probe.worker.facts import optimizer_facts

    found = optimizer_facts(model, optimizers, False, origins)
    nothing = {"name": "", "parameters": [], "others": 0, "rates": []}
    return [each | {"place": origins.places.place(built)} for each in found or [nothing]]


def _package_of(model: Any) -> tuple[str, ...]:
    """The folders of the package that defines a model: for its tests, it may be installed like a library."""
    package = sys.modules.get(type(model).__module__.partition(".")[0])
    return () if package is None or package.__name__ == "torch" else tuple(getattr(package, "__path__", ()))


def _caller(frame: Any) -> Line:
    return frame.f_code.co_filename, frame.f_lineno


def _message(model: Any, stuck: Sequence[ParameterReport], findings: Sequence[ProbeFinding]) -> str:
    count = len(stuck)
    lines = [f"{count} parameter{'' if count == 1 else 's'} of {type(model).__name__} will not learn:"]
    for each in stuck:
        assert each.cause is not None
        place = each.cause.place or each.place
        where = f" ({Path(place.path).name}:{place.line})" if place is not None else ""
        lines.append(f"  {each.name}: {each.cause.words}{where}")
    codes = {each.cause.code for each in stuck if each.cause is not None}
    lines += ["", *(finding.message.replace("`", "") for finding in findings if finding.code in codes)]
    return "\n".join(lines)
