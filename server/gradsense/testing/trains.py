"""`assert_trains`: a few real steps in the process of the test, looked at as the probe does, and taken back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gradsense.probe.report import ParameterReport, ProbeFinding
from gradsense.probe.verdict import Facts, judge
from gradsense.testing.kept import kept

_MEANT = frozenset({"probe-frozen"})
"""Causes that are no fault: whoever freezes a layer knows."""


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

    Afterwards the model, the optimizers and the random generators are as they were. Frozen parameters
    (`requires_grad=False`) are left alone.

    Raises AssertionError that names each parameter that won't learn, with its cause and line; TypeError for a batch or
    arguments of another form; and what the model itself raises.
    """
    __tracebackhide__ = True
    line = _caller(sys._getframe(1))
    optimizers, loss_of = _training_of(model, batch, loss_fn, optimizer)
    with kept(model, optimizers):
        stuck, told = _looked_at(model, optimizers, loss_of, steps, line)
    if stuck:
        raise AssertionError(_message(model, stuck, told))


def _training_of(
    model: Any, batch: Any, loss_fn: Callable[..., Any] | None, optimizer: Any
) -> tuple[list[Any], Callable[[], Any]]:
    """The optimizers, and the function that computes a loss."""
    if hasattr(model, "training_step") and hasattr(model, "configure_optimizers") and loss_fn is None:
        return _lightning(model, batch)
    if loss_fn is None or optimizer is None:
        raise TypeError("assert_trains needs loss_fn and optimizer, but for a LightningModule.")
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError("assert_trains takes (inputs, target) as its batch. Put several inputs into a tuple or a dict.")
    inputs, target = batch
    optimizers = list(optimizer) if isinstance(optimizer, (tuple, list)) else [optimizer]
    return optimizers, lambda: loss_fn(_output(model, inputs), target)


def _output(model: Any, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def _lightning(model: Any, batch: Any) -> tuple[list[Any], Callable[[], Any]]:
    if not getattr(model, "automatic_optimization", True):
        raise TypeError(
            f"{type(model).__name__} optimizes by itself (`automatic_optimization = False`): probe it with "
            "`gradsense probe`, or call assert_trains on its networks."
        )
    configured = model.configure_optimizers()
    if isinstance(configured, dict):
        configured = configured["optimizer"]
    if isinstance(configured, (tuple, list)):
        first = configured[0]
        configured = first if isinstance(first, (tuple, list)) else configured
    optimizers = list(configured) if isinstance(configured, (tuple, list)) else [configured]

    def loss() -> Any:
        output = model.training_step(batch, 0)
        return output["loss"] if isinstance(output, dict) else output

    return optimizers, loss


def _looked_at(
    model: Any, optimizers: list[Any], loss_of: Callable[[], Any], steps: int, line: tuple[str, int]
) -> tuple[list[ParameterReport], tuple[ProbeFinding, ...]]:
    """The parameters that won't learn, and what is to be said of them."""
    from gradsense.probe.worker.facts import optimizer_facts, parameter_facts
    from gradsense.probe.worker.flow import Flow
    from gradsense.probe.worker.steps import Recorder
    from gradsense.probe.worker.unregistered import trainable
    from gradsense.probe.worker.where import Origins, Places

    places = Places(line[0], "")
    recorder, flow, origins = Recorder(), Flow(places), Origins(places)
    model.train()
    for step in range(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        for parameter in trainable(model).values():
            parameter.grad = None
        with flow.active(trainable(model), recording=step == 0):
            loss = loss_of()
        if step == 0:
            flow.loss(loss)
        if getattr(loss, "requires_grad", False):
            loss.backward()
        recorder.before_step(model)
        for optimizer in optimizers:
            optimizer.step()
        recorder.after_step(model)
    reach = {
        name: found
        for name, parameter in trainable(model).items()
        if parameter.requires_grad and (found := flow.explain(parameter)) is not None
    }
    not_finite = flow.not_finite()
    if not_finite is not None:
        reach[""] = {"how": "not-finite", "words": "", "place": not_finite}
    flow.forget()
    called = {"path": line[0], "line": line[1], "column": 0, "end_line": line[1], "end_column": 0}
    held = [each | {"place": called} for each in optimizer_facts(model, optimizers, False, origins)]
    facts = Facts(
        type(model).__name__, line[0], parameter_facts(model, optimizers, recorder, origins, reach), held, "model"
    )
    parameters, findings = judge(facts)
    return [each for each in parameters if each.cause is not None and each.cause.code not in _MEANT], findings


def _caller(frame: Any) -> tuple[str, int]:
    return frame.f_code.co_filename, frame.f_lineno


def _message(model: Any, stuck: Sequence[ParameterReport], findings: Sequence[ProbeFinding]) -> str:
    count = len(stuck)
    lines = [f"{count} parameter{'' if count == 1 else 's'} of {type(model).__name__} will not learn:"]
    for each in stuck:
        assert each.cause is not None
        place = each.cause.place
        where = f" ({Path(place.path).name}:{place.line})" if place is not None else ""
        lines.append(f"  {each.name}: {each.cause.words}{where}")
    codes = {each.cause.code for each in stuck if each.cause is not None}
    lines += ["", *(finding.message.replace("`", "") for finding in findings if finding.code in codes)]
    return "\n".join(lines)
