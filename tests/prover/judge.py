"""From what a run showed to a verdict on a symptom: the meaning of each, as its docstring says it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from gradsense.rules.examples import (
    GraphKept,
    LossDiffers,
    NotCalled,
    NothingMoves,
    PilesUp,
    PredictionsDiffer,
    Raises,
    StateLost,
    Symptom,
    Trains,
    Unmoved,
    Warns,
)
from tests.prover.record import Run, Weight

WATCH: dict[type[Symptom], tuple[str, ...]] = {
    NotCalled: ("calls",),
    GraphKept: ("graph",),
    PredictionsDiffer: ("answers",),
}
"""What a symptom needs watched beyond the usual."""


def judge(run: Run, symptom: Symptom, reference: Run | None = None) -> tuple[bool, str]:
    """Whether `run` shows `symptom`, and what was observed."""
    observed = describe(run)
    match symptom:
        case Raises(match):
            return run.error is not None and re.search(match, run.error) is not None, observed
        case Warns(match):
            issued = any(re.search(match, warning) for warning in run.warnings)
            return issued, f"{observed}; warnings: {' | '.join(run.warnings) or 'none'}"
    if run.error is not None:
        return False, observed
    match symptom:
        case NotCalled():
            observed += f"; never called: {listing(run.uncalled or ())}"
        case PilesUp():
            observed += f"; {run.piled_up} steps applied gradients again"
        case StateLost():
            observed += f"; state lost {run.states_lost} times"
        case GraphKept():
            observed += f"; graph nodes kept: {listing(map(str, run.graph_sizes or ()))}"
        case LossDiffers():
            observed += f"; differs from the program put right in {first_difference(run, reference)}"
        case PredictionsDiffer():
            observed += f"; two answers to one input differ: {run.answers_differ}"
    return shows(run, symptom, reference), observed


def shows(run: Run, symptom: Symptom, reference: Run | None) -> bool:
    """The same for a run that ended normally."""
    match symptom:
        case NothingMoves():
            ran = run.calls + run.backwards + run.steps > 0
            return ran and not any(weight.moved for weight in run.weights)
        case Unmoved(names):
            groups = [[weight for weight in run.weights if is_under(weight, name)] for name in names]
            still = {weight for group in groups for weight in group}
            others = [weight for weight in run.weights if weight not in still]
            unmoved = all(group and not any(weight.moved for weight in group) for group in groups)
            return unmoved and any(weight.moved for weight in others)
        case PilesUp():
            return run.piled_up >= 2
        case NotCalled(hook):
            return hook in (run.uncalled or ())
        case StateLost():
            return run.states_lost >= 2
        case GraphKept():
            sizes = run.graph_sizes or ()
            rounds = zip(sizes, sizes[1:], sizes[2:], sizes[3:], strict=False)
            return any(first < second < third < fourth for first, second, third, fourth in rounds)
        case LossDiffers():
            return first_difference(run, reference) is not None
        case PredictionsDiffer():
            return run.answers_differ is True
        case Trains():
            trained = in_training(run)
            return any(weight.moved for weight in trained) and all(weight.moved and weight.finite for weight in trained)
        case _:
            raise TypeError(f"no such symptom: {symptom!r}")


def in_training(run: Run) -> list[Weight]:
    """All that requires grad in the networks that backward reached, and what it reached outside of any.

    Without any backward (`torch.autograd.grad`, gradients set by hand) what moved tells what was trained.
    """

    def trained(weight: Weight) -> bool:
        return weight.reached or (run.backwards == 0 and weight.moved)

    networks = {weight.network for weight in run.weights if trained(weight)} - {None}
    return [weight for weight in run.weights if weight.trainable and (trained(weight) or weight.network in networks)]


def is_under(weight: Weight, name: str) -> bool:
    return any(each == name or each.startswith(name + ".") for each in weight.names)


def first_difference(run: Run, reference: Run | None) -> str | None:
    """Where two programs' losses part; None if they don't, or one has none."""
    pairs = zip(run.losses, reference.losses if reference else (), strict=False)
    for number, (one, other) in enumerate(pairs, 1):
        if abs(one - other) > 1e-5 * max(abs(one), abs(other)):
            return f"loss {number}, {one:.6g} and {other:.6g}"
    return None


def describe(run: Run) -> str:
    """A line on what the program did."""
    if run.error is not None:
        return f"raised {run.error.strip().splitlines()[0]}"
    moved, still = ({layer_name(weight) for weight in run.weights if weight.moved is state} for state in (True, False))
    facts = [f"{run.backwards} backward, {run.steps} steps", f"moved: {listing(sorted(moved))}"]
    if still:
        facts.append(f"unmoved: {listing(sorted(still))}")
    broken = {layer_name(weight) for weight in run.weights if not weight.finite}
    if broken:
        facts.append(f"not finite: {listing(sorted(broken))}")
    return "; ".join(facts)


def layer_name(weight: Weight) -> str:
    """The name of the layer a weight lies in; its own where that is none."""
    if weight.names[0].rpartition(".")[2] not in ("weight", "bias"):
        return weight.names[0]
    owners = [name.rpartition(".")[0] for name in weight.names]
    return next(filter(None, owners), weight.names[0])


def listing(names: Iterable[str]) -> str:
    """At most eight names."""
    first = list(itertools.islice(names, 9))
    return ", ".join(first[:8] + ["…"] * (len(first) > 8)) or "none"
