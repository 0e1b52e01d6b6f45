"""From the worker's facts to causes and findings: one cause for each parameter that won't learn. Pure.

The causes are tried in the order in which one explains the next: what isn't registered can't be in an
optimizer; what gets no gradient can't move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

from gradsense.probe.checks import check_finding
from gradsense.probe.data import data_finding
from gradsense.probe.report import (
    Cause,
    ParameterReport,
    Place,
    ProbeFinding,
    Related,
    parameter_from_json,
    place_from_json,
)
from gradsense.probe.sentences import FATES, NO_LOSS, UNUSED, Case, Subject, message
from gradsense.probe.updates import update_findings

_AT_THE_OPERATION = frozenset({"probe-cut", "probe-zero-gradient", "probe-not-finite"})
"""Told where it happens; the others where the parameter is made."""
_BY_FORMULA = frozenset({"flat", "single"})
_ROUNDING = 1e-6
_FLOAT32 = 2.0**-24
_MOST_RELATED = 10


@dataclass(frozen=True)
class Facts:
    """What the worker measured, as it sent it (`worker/facts.py`). `model_name` is the file's name for the
    model."""

    target: str
    path: str
    parameters: Sequence[dict[str, Any]]
    optimizers: Sequence[dict[str, Any]]
    model_name: str | None = None
    made: Sequence[dict[str, Any]] = ()
    data: Sequence[dict[str, Any]] = ()
    checks: Sequence[dict[str, Any]] = ()

    def unjudged(self) -> tuple[ParameterReport, ...]:
        """The parameters when nothing was measured: no cause is known, and none is made up."""
        return tuple(parameter_from_json(each) for each in self.parameters)

    @property
    def built(self) -> dict[str, Any] | None:
        """The last optimizer that the file builds."""
        return next((each for each in reversed(self.optimizers) if each.get("place")), None)


def judge(facts: Facts) -> tuple[tuple[ParameterReport, ...], tuple[ProbeFinding, ...]]:
    """Each parameter with its cause, and the findings: one for each cause and line."""
    judged = tuple(replace(parameter_from_json(each), cause=_cause(each, facts)) for each in facts.parameters)
    return judged, (
        *_findings(facts, judged),
        *map(_made_each_time, facts.made),
        *map(data_finding, facts.data),
        *map(check_finding, facts.checks),
        *update_findings(facts.parameters, facts.optimizers),
    )


def _cause(fact: dict[str, Any], facts: Facts) -> Cause | None:
    gradient = fact["gradient"]
    if not fact.get("registered", True):
        return Cause("probe-not-registered", "not registered", place_from_json(fact.get("place")))
    if not fact["requires_grad"]:
        return Cause("probe-frozen", "frozen", place_from_json(fact.get("frozen")))
    if gradient in ("none", "not finite"):
        return _without_gradient(gradient, fact.get("reach") or {}, facts)
    if facts.built is not None and not fact["optimizers"]:
        return Cause("probe-not-in-optimizer", "in no optimizer", place_from_json(facts.built["place"]))
    if gradient == "zero" and (not fact.get("moved") or fact.get("decays")) and not _is_cancelled_bias(fact, facts):
        return _zeroed(fact.get("reach") or {})
    if gradient == "finite" and fact.get("moved") is False and not _is_rounding(fact, facts):
        return _unmoved(fact, facts) if facts.built is not None else None  # SGD of ours proves nothing
    return None


def _without_gradient(gradient: str, reach: dict[str, Any], facts: Facts) -> Cause:
    place = place_from_json(reach.get("place"))
    if gradient == "not finite":
        if reach.get("kind") == "start":  # at the line that makes it so
            place = next(
                (place_from_json(e.get("place")) for e in facts.parameters if e["name"] == reach["what"]), None
            )
        return Cause("probe-not-finite", "gradient not finite", place if reach.get("how") == "not-finite" else None)
    if reach.get("how") == "cut":
        return Cause("probe-cut", f"cut by {reach['words']}", place)
    if reach.get("how") == "unused":
        return Cause("probe-no-gradient", UNUSED)
    nothing = all(each["gradient"] in ("none", "unknown") for each in facts.parameters)
    if reach.get("how") == "no-loss" or (reach.get("how") == "intact" and nothing):
        return Cause("probe-no-gradient", NO_LOSS, place)
    return Cause("probe-no-gradient", "never reaches the loss", place)


def _zeroed(reach: dict[str, Any]) -> Cause:
    """What is flat by its formula cuts for certain; anything else may be the batch's doing."""
    if reach.get("how") != "zeroed":
        return Cause("probe-zero-gradient", "gradient always 0")
    place, kind, operation = place_from_json(reach.get("place")), reach["kind"], f"`{reach['words']}`"
    if kind in _BY_FORMULA:
        over = " over one element" if kind == "single" else ""
        return Cause("probe-cut", f"cut by {operation}{over}", place)
    if kind == "input":
        return Cause("probe-zero-gradient", "its input is always 0", place)
    if kind == "multiplied":
        factor = f"`{reach['what']}`, which is " if reach["what"] else ""
        return Cause("probe-zero-gradient", f"multiplied by {factor}0", place)
    return Cause("probe-zero-gradient", f"zeroed by {operation}", place)


def _unmoved(fact: dict[str, Any], facts: Facts) -> Cause:
    held = [facts.optimizers[index] for index in fact["optimizers"] if index < len(facts.optimizers)]
    built = place_from_json(held[0].get("place")) if held else None
    fate = fact.get("fate") or {}
    if fate.get("how") == "cleared":
        return Cause("probe-cleared", "cleared before the step", place_from_json(fate.get("place")))
    if fate.get("how") in FATES:
        return Cause("probe-cleared", FATES[fate["how"]])
    if fate.get("how") == "never-stepped":
        return Cause("probe-unmoved", "its optimizer never steps", built)
    rates = fact.get("rates") or [rate for each in held for rate in each.get("rates", [1])]
    if held and all(rate == 0 for rate in rates):
        return Cause("probe-unmoved", "learning rate 0", built)
    if held and _is_below_resolution(fact, held):
        return Cause("probe-unmoved", "update below float resolution", built)
    return Cause("probe-unmoved", "unchanged by the step", built)


def _is_below_resolution(fact: dict[str, Any], held: Sequence[dict[str, Any]]) -> bool:
    """Is even the learning rate, or the plain gradient step, lost in float32's 24 bits beside the weight?"""
    rate = max((rate for each in held for rate in each.get("rates", [])), default=1.0)
    step = rate * max(1.0, fact.get("gradient_norm") or 0.0)
    return bool(step < _FLOAT32 * max(1e-3, fact.get("weight_norm") or 0.0))


def _is_cancelled_bias(fact: dict[str, Any], facts: Facts) -> bool:
    """A bias whose effect cancels out (before a norm, in a difference of scores), beside weights that
    learn."""
    return len(fact["shape"]) <= 1 and any(
        other["layer"] == fact["layer"] and other["gradient"] == "finite" for other in facts.parameters
    )


def _is_rounding(fact: dict[str, Any], facts: Facts) -> bool:
    """Zero but for rounding: a bias before a norm, an attention's key bias (1e-8 of the others)."""
    norms = sorted(each["gradient_norm"] for each in facts.parameters if each.get("gradient_norm"))
    return bool(norms) and (fact.get("gradient_norm") or 0.0) < _ROUNDING * norms[len(norms) // 2]


def _findings(facts: Facts, judged: Sequence[ParameterReport]) -> Iterator[ProbeFinding]:
    """At the line that cuts or spoils the gradient, if it is known, else at the line that makes the parameter."""

    def key(each: ParameterReport) -> tuple[str, int, str, str]:
        assert each.cause is not None
        place = _where(each)
        return place.path if place else "", place.line if place else 0, each.cause.code, each.cause.words

    stuck = sorted((each for each in judged if each.cause is not None), key=key)
    for _, members in groupby(stuck, key=key):
        group = list(members)
        cause = group[0].cause
        assert cause is not None
        place = _where(group[0]) or Place(facts.path, 1, 0, 1, 0)
        yield ProbeFinding(
            code=cause.code,
            message=message(_case(cause, Subject.of(group, judged), facts, group[0])),
            severity=_severity(cause.code, group),
            path=place.path,
            line=place.line,
            column=place.column,
            end_line=place.end_line,
            end_column=place.end_column,
            related=tuple(_related(group, place)),
        )


def _case(cause: Cause, subject: Subject, facts: Facts, first: ParameterReport) -> Case:
    held = [facts.optimizers[index] for index in first.optimizers if index < len(facts.optimizers)]
    reach = next((each.get("reach") for each in facts.parameters if each["name"] == first.name), None)
    return Case(cause, subject, first, reach or {}, facts.built, held[0] if held else None, facts.model_name)


def _made_each_time(made: dict[str, Any]) -> ProbeFinding:
    place = place_from_json(made["place"])
    assert place is not None
    return ProbeFinding(
        "probe-made-in-forward",
        f"`{made['kind']}` is made anew at every step, with random weights that no optimizer ever sees. "
        "Make it in `__init__`.",
        "warning",
        place.path,
        place.line,
        place.column,
        place.end_line,
        place.end_column,
    )


def _where(parameter: ParameterReport) -> Place | None:
    cause = parameter.cause
    return (cause.place if cause is not None and cause.code in _AT_THE_OPERATION else None) or parameter.place


def _severity(code: str, group: Sequence[ParameterReport]) -> Literal["warning", "information"]:
    if code == "probe-frozen":
        # Frozen layers are how one fine-tunes; a parameter of one's own, frozen and yet optimized, is a slip.
        return "warning" if all(each.own and each.optimizers for each in group) else "information"
    return "information" if code == "probe-zero-gradient" else "warning"


def _related(group: Sequence[ParameterReport], at: Place) -> Iterator[Related]:
    words = {
        "probe-not-in-optimizer": "optimizer built here",
        "probe-frozen": "frozen here",
        "probe-zero-gradient": "gets zeros here",
        "probe-no-gradient": "used here",
        "probe-cleared": "cleared here",
        "probe-unmoved": "optimizer built here",
        "probe-not-finite": "not finite from here",
    }
    seen = {(at.path, at.line)}
    for each in group:
        assert each.cause is not None
        pairs = [
            (words.get(each.cause.code, "here"), each.cause.place),
            (f"`{each.layer}` made here", each.place),
        ]
        for text, place in pairs:
            if place is not None and (place.path, place.line) not in seen and len(seen) <= _MOST_RELATED:
                seen.add((place.path, place.line))
                yield text, place.path, place.line, place.column, place.end_line, place.end_column
