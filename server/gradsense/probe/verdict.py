"""From the worker's facts to causes and findings: one cause for each parameter that won't learn. Pure.

The order of the causes is the order in which the first one explains the others: what isn't registered can't
be in an optimizer; what gets no gradient can't move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

from gradsense.probe.report import (
    Cause,
    ParameterReport,
    Place,
    ProbeFinding,
    Related,
    parameter_from_json,
    place_from_json,
)

_MOST_NAMES = 4


@dataclass(frozen=True)
class Facts:
    """What the worker measured, as it sent it (`worker/facts.py`)."""

    target: str
    path: str
    parameters: Sequence[dict[str, Any]]
    optimizers: Sequence[dict[str, Any]]
    model_name: str | None = None

    def unjudged(self) -> tuple[ParameterReport, ...]:
        """The parameters when nothing was measured: no cause is known, and none is made up."""
        return tuple(parameter_from_json(each) for each in self.parameters)


def judge(facts: Facts) -> tuple[tuple[ParameterReport, ...], tuple[ProbeFinding, ...]]:
    """Each parameter with its cause, and the findings: one for each cause and line."""
    judged = [
        replace(parameter_from_json(each), cause=_cause(each, facts.optimizers)) for each in facts.parameters
    ]
    return tuple(judged), tuple(_findings(facts, judged))


def _cause(fact: dict[str, Any], optimizers: Sequence[dict[str, Any]]) -> Cause | None:
    reach = fact.get("reach") or {}
    from_file = [index for index, each in enumerate(optimizers) if each.get("place")]
    gradient = fact["gradient"]
    if not fact.get("registered", True):
        return Cause("probe-not-registered", "not registered", place_from_json(fact.get("place")))
    if not fact["requires_grad"]:
        return Cause("probe-frozen", "frozen", place_from_json(fact.get("frozen")))
    if gradient == "not finite":
        return Cause("probe-not-finite", "gradient not finite", place_from_json(reach.get("place")))
    if gradient == "none":
        place = place_from_json(reach.get("place"))
        if reach.get("how") == "cut":
            return Cause("probe-cut", f"cut by {reach['words']}", place)
        words = "never used in forward" if reach.get("how") == "unused" else "never reaches the loss"
        return Cause("probe-no-gradient", words, place)
    if from_file and not fact["optimizers"]:
        return Cause(
            "probe-not-in-optimizer", "in no optimizer", place_from_json(optimizers[from_file[-1]]["place"])
        )
    if gradient == "zero":
        return Cause("probe-zero-gradient", "gradient always 0", None)
    if gradient == "finite" and fact.get("moved") is False:
        if fact.get("cleared"):
            return Cause("probe-cleared", "cleared before the step", place_from_json(fact["cleared"]))
        held = [optimizers[index] for index in fact["optimizers"] if index < len(optimizers)]
        if held and all(rate == 0 for each in held for rate in each.get("rates", [1])):
            return Cause("probe-unmoved", "learning rate 0", place_from_json(held[0].get("place")))
        return Cause(
            "probe-unmoved", "unchanged by the step", place_from_json(held[0].get("place")) if held else None
        )
    return None


def _findings(facts: Facts, judged: Sequence[ParameterReport]) -> Iterator[ProbeFinding]:
    """At the line of the cut for cut gradients, else at the line that makes the parameter."""
    stuck = [each for each in judged if each.cause is not None]

    def key(each: ParameterReport) -> tuple[str, str, int, str]:
        assert each.cause is not None
        place = (each.cause.place if each.cause.code == "probe-cut" else None) or each.place
        return each.cause.code, place.path if place else "", place.line if place else 0, each.cause.words

    for (code, _path, _line, _), members in groupby(sorted(stuck, key=key), key=key):
        group = list(members)
        first = group[0]
        assert first.cause is not None
        place = (first.cause.place if code == "probe-cut" else None) or first.place
        if place is None:
            place = Place(facts.path, 1, 0, 1, 0)
        names = _names(group, judged)
        yield ProbeFinding(
            code=code,
            message=_message(code, names, first, facts),
            severity=_severity(code, group),
            path=place.path,
            line=place.line,
            column=place.column,
            end_line=place.end_line,
            end_column=place.end_column,
            related=tuple(_related(code, group, place)),
        )


def _severity(code: str, group: Sequence[ParameterReport]) -> Literal["warning", "information"]:
    if code == "probe-frozen":
        # Frozen layers are how one fine-tunes; a parameter of one's own that is frozen and yet optimized is
        # a slip.
        own = all("." not in each.name or each.name.rpartition(".")[0] == each.layer for each in group)
        return (
            "warning"
            if own and all(each.optimizers for each in group) and _own_parameters(group)
            else "information"
        )
    return "information" if code == "probe-zero-gradient" else "warning"


def _own_parameters(group: Sequence[ParameterReport]) -> bool:
    return all(each.own for each in group)


def _names(group: Sequence[ParameterReport], judged: Sequence[ParameterReport]) -> str:
    """The layers of `group` where all of a layer's parameters are in it, else the parameters."""
    names: list[str] = []
    inside = {each.name for each in group}
    for each in group:
        siblings = [other.name for other in judged if other.layer == each.layer]
        name = each.layer if all(sibling in inside for sibling in siblings) else each.name
        if name not in names:
            names.append(name)
    shown = [f"`{name}`" for name in names[:_MOST_NAMES]]
    if len(names) > _MOST_NAMES:
        return f"{', '.join(shown)} and {len(names) - _MOST_NAMES} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _message(code: str, names: str, first: ParameterReport, facts: Facts) -> str:
    assert first.cause is not None
    many = " and " in names or len(first.shape) < 0
    gets, its, it = ("get", "their", "them") if many else ("gets", "its", "it")
    line = first.cause.place.line if first.cause.place else 0
    model = facts.model_name or "model"
    if code == "probe-not-registered":
        container = first.name.partition("[")[0]
        if "[" in first.name:
            return (
                f"{names} {'are' if many else 'is'} missing from `parameters()`: `{container}` is a plain container, so no optimizer "
                f"ever sees {it}. Keep the layers in `nn.ModuleList` (or `nn.ModuleDict`, `nn.ParameterList`)."
            )
        return f"{names} is missing from `parameters()`, so no optimizer ever sees it. Make it an `nn.Parameter`."
    if code == "probe-frozen":
        has = "have" if many else "has"
        return f"{names} {has} `requires_grad=False`: no step changes {it}. Remove that to train {it}."
    if code == "probe-not-finite":
        return f"{names} {gets} a gradient with NaN or infinity on finite input. Find the first operation that makes it."
    if code == "probe-cut":
        return (
            f"The gradient to {names} ends here: {first.cause.words} gives a value without history. "
            "Keep the tensor itself on the way to the loss."
        )
    if code == "probe-no-gradient":
        if first.cause.words == "never used in forward":
            return f"{names} {gets} no gradient: `forward` never uses {it}. Use {it} in `forward`, or remove {it}."
        used = f" (used on line {line})" if line else ""
        return f"{names} {gets} no gradient: what {'they compute' if many else 'it computes'}{used} never reaches the loss. Use that result."
    if code == "probe-not-in-optimizer":
        optimizer = next((each for each in facts.optimizers if each.get("place")), None)
        kind = optimizer["name"] if optimizer else "the optimizer"
        return (
            f"{names} {gets} gradients that nobody applies: `{kind}` (line {line}) doesn't hold {it}. "
            f"Pass `{model}.parameters()`."
        )
    if code == "probe-zero-gradient":
        return f"{names} {gets} a gradient of exactly 0 at every step. Look for a dead activation, a mask or a zero weight on {its} way."
    if code == "probe-cleared":
        return f"{names} {gets} a gradient that is cleared before the step (line {line}). Clear before `backward()`."
    if first.cause.words == "learning rate 0":
        return f"{names} {gets} a gradient, but the optimizer's learning rate is 0. Set `lr`."
    return f"{names} {gets} a gradient, and no step changes {it}. Look at what the optimizer's step does with {it}."


def _related(code: str, group: Sequence[ParameterReport], at: Place) -> Iterator[Related]:
    words = {
        "probe-not-in-optimizer": "optimizer built here",
        "probe-frozen": "frozen here",
        "probe-no-gradient": "used here",
        "probe-cleared": "cleared here",
        "probe-unmoved": "optimizer built here",
    }
    seen = {(at.path, at.line)}
    places: list[tuple[str, Place]] = []
    for each in group:
        assert each.cause is not None
        if each.cause.place is not None and code in words:
            places.append((words[code], each.cause.place))
        if each.place is not None and code == "probe-cut":
            places.append((f"{each.layer} made here", each.place))
    for text, place in places[:10]:
        if (place.path, place.line) not in seen:
            seen.add((place.path, place.line))
            yield text, place.path, place.line, place.column, place.end_line, place.end_column
