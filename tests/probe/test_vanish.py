"""The operation that makes a gradient 0 or not finite, by itself: a small computation and one backward pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from gradsense.probe.worker.flow import Flow
from gradsense.probe.worker.steps import History
from gradsense.probe.worker.vanish import GradientWatch, step_to_watch
from gradsense.probe.worker.where import Places

HERE = Path(__file__)
Compute = Callable[[Any], Any]


class Nothing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient * 0


def watched(compute: Compute, w: torch.Tensor) -> tuple[Flow, GradientWatch]:
    """A flow over `compute(w)`, differentiated."""
    flow = Flow(Places(str(HERE), None), device=None)
    flow.watch = watch = GradientWatch()
    with flow.active({"w": w}, recording=True):
        loss = compute(w)
    flow.loss(loss)
    loss.backward()
    watch.close()
    return flow, watch


def weight(*values: float) -> torch.Tensor:
    return torch.tensor(values or (0.5, 1.0, 2.0, 3.0), requires_grad=True)


GATE = torch.zeros(())
ZEROED: dict[str, tuple[Compute, tuple[str, str, str]]] = {
    "flat": (lambda w: (w * 3).round().sum(), ("flat", "round", "")),
    "a division without rest": (lambda w: torch.div(w, 2, rounding_mode="floor").sum(), ("flat", "div", "")),
    "off": (lambda w: (w - 100).relu().sum(), ("off", "relu", "")),
    "off in place": (lambda w: (w - 100).relu_().sum(), ("off", "relu", "")),
    "clamped": (lambda w: w.clamp(max=0.0).sum(), ("off", "clamp", "")),
    "saturated": (lambda w: (w * 1e4).sigmoid().sum(), ("saturated", "sigmoid", "")),
    "one class": (lambda w: F.softmax(w[:, None], dim=1).pow(2).sum(), ("single", "softmax", "")),
    "a factor of 0": (lambda w: (w * 0).sum(), ("multiplied", "mul", "")),
    "0 on the left": (lambda w: (0 * w).sum(), ("multiplied", "mul", "")),
    "a factor with a name": (lambda w: (w * GATE).sum(), ("multiplied", "mul", "gate")),
    "a factor in a product of matrices": (lambda w: (w * 2) @ torch.zeros(4), ("multiplied", "matmul", "")),
    "an input of 0": (lambda w: w @ torch.zeros(4), ("input", "matmul", "")),
    "nothing chosen": (lambda w: torch.where(w > 100, w, 1.0).sum(), ("chosen", "where", "")),
    "masked": (lambda w: (w + 1).masked_fill(w > 0, 0.0).sum(), ("chosen", "masked_fill", "")),
    "a margin that is kept": (
        lambda w: F.margin_ranking_loss(w, w.detach() - 9, torch.ones(4)),
        ("margin", "margin_ranking_loss", ""),
    ),
    "both sides the same": (lambda w: F.mse_loss(w, w.detach()), ("equal", "mse_loss", "")),
    "the user's backward": (lambda w: Nothing.apply(w).sum(), ("backward", "Nothing", "")),
    "what adds up to 0": (lambda w: (w - w).sum(), ("other", "sub", "")),
}


@pytest.mark.parametrize(("compute", "expected"), ZEROED.values(), ids=ZEROED)
def test_the_operation_that_takes_a_gradient_away(compute: Compute, expected: tuple[str, str, str]) -> None:
    w = weight()
    flow, watch = watched(compute, w)
    assert w.grad is not None
    assert not w.grad.any()
    told = watch.zeroed(flow, w, {id(GATE): "gate"})
    assert told is not None
    assert (told["kind"], told["words"], told["what"]) == expected
    assert told["how"] == "zeroed"
    assert told["place"]["path"] == str(HERE)


def test_of_several_operations_the_one_that_still_gets_a_gradient_is_told() -> None:
    def compute(w: torch.Tensor) -> torch.Tensor:
        dead = (w - 100).relu()
        return dead.relu().relu().sum()

    w = weight()
    flow, watch = watched(compute, w)
    told = watch.zeroed(flow, w, {})
    assert told is not None
    assert told["place"]["line"] == compute.__code__.co_firstlineno + 2


def test_of_two_ways_the_one_that_another_batch_could_open_is_told() -> None:
    w = weight()
    flow, watch = watched(lambda w: w.round().sum() + (w - 100).relu().sum(), w)
    told = watch.zeroed(flow, w, {})
    assert told is not None
    assert told["words"] == "relu"


NOT_FINITE: dict[str, tuple[Compute, tuple[str, str, str]]] = {
    "NaN on the way there": (lambda w: (w - 100).log().sum(), ("made", "log", "NaN")),
    "infinity on the way there": (lambda w: (1 / (w - w)).sum(), ("made", "div", "infinity")),
    "infinity that becomes NaN": (lambda w: ((w * 0).log() * 0).sum(), ("made", "log", "infinity")),
    "a slope on the way back": (lambda w: (w * 0).sqrt().sum(), ("slope", "sqrt", "")),
    "data": (lambda w: F.linear(torch.full((2, 4), torch.nan), w[None]).sum(), ("given", "linear", "")),
}


@pytest.mark.parametrize(("compute", "expected"), NOT_FINITE.values(), ids=NOT_FINITE)
def test_the_operation_that_makes_a_gradient_not_finite(compute: Compute, expected: tuple[str, str, str]) -> None:
    w = weight()
    flow, watch = watched(compute, w)
    told = watch.not_finite(flow, {})
    assert told is not None
    assert (told["kind"], told["words"], told["what"]) == expected


def test_a_weight_that_is_not_finite_from_the_start() -> None:
    w = weight(1.0, float("nan"))
    flow, watch = watched(lambda w: (w * 2).sum(), w)
    told = watch.not_finite(flow, {id(w): "w"})
    assert told is not None
    assert (told["kind"], told["what"]) == ("start", "w")


def test_infinity_on_purpose_is_none_that_was_made() -> None:
    """A mask before a softmax."""
    w = weight()
    flow, watch = watched(lambda w: w.masked_fill(torch.arange(4) > 2, -torch.inf).softmax(0)[0], w)
    assert watch.not_finite(flow, {}) is None


def test_a_healthy_gradient_has_no_operation_that_makes_it_not_finite() -> None:
    w = weight()
    flow, watch = watched(lambda w: w.relu().sum(), w)
    assert watch.not_finite(flow, {}) is None


@pytest.mark.parametrize(
    ("gradients", "step"),
    [
        ([["finite"], ["finite"]], None),
        ([["none"], ["finite"]], None),
        ([["zero", "finite"], ["finite"]], None),
        ([["zero", "zero"], ["finite"]], 2),
        ([["zero", "zero"], ["finite", "not finite"]], 0),
    ],
)
def test_the_step_that_is_worth_watching(gradients: list[list[str]], step: int | None) -> None:
    histories = {number: History(gradients=each) for number, each in enumerate(gradients)}
    assert step_to_watch(histories, 3) == step
