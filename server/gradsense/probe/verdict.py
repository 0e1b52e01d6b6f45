"""From the worker's facts to causes and findings: one cause for each parameter that won't learn. Pure.

The causes are tried in the order in which one explains the next: what isn't registered can't be in an
optimizer; what gets no gradient can't move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

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

_FATES = {"not-stored": "not stored in `.grad`", "zeroed": "0 when the step comes"}
"""What became of a gradient that arrived, other than being cleared by a call."""
_ZERO_INPUT = "its input is always 0"
_ROUNDING = 1e-6
_FLOAT32 = 2.0**-24
_MOST_NAMES = 4
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
    return judged, (*_findings(facts, judged), *map(_made_each_time, facts.made), *map(data_finding, facts.data))


def _cause(fact: dict[str, Any], facts: Facts) -> Cause | None:
    gradient = fact["gradient"]
    if not fact.get("registered", True):
        return Cause("probe-not-registered", "not registered", place_from_json(fact.get("place")))
    if not fact["requires_grad"]:
        return Cause("probe-frozen", "frozen", place_from_json(fact.get("frozen")))
    if gradient in ("none", "not finite"):
        return _without_gradient(gradient, fact.get("reach") or {})
    if facts.built is not None and not fact["optimizers"]:
        return Cause("probe-not-in-optimizer", "in no optimizer", place_from_json(facts.built["place"]))
    if gradient == "zero" and not fact.get("moved") and not _is_cancelled_bias(fact, facts):
        reach = fact.get("reach") or {}
        if reach.get("how") == "zero-input":
            return Cause("probe-zero-gradient", _ZERO_INPUT, place_from_json(reach.get("place")))
        return Cause("probe-zero-gradient", "gradient always 0")
    if gradient == "finite" and fact.get("moved") is False and not _is_rounding(fact, facts):
        return _unmoved(fact, facts) if facts.built is not None else None  # SGD of ours proves nothing
    return None


def _without_gradient(gradient: str, reach: dict[str, Any]) -> Cause:
    place = place_from_json(reach.get("place"))
    if gradient == "not finite":
        return Cause("probe-not-finite", "gradient not finite", place if reach.get("how") == "not-finite" else None)
    if reach.get("how") == "cut":
        return Cause("probe-cut", f"cut by {reach['words']}", place)
    if reach.get("how") == "unused":
        return Cause("probe-no-gradient", "never used in forward")
    if reach.get("how") == "no-loss":
        return Cause("probe-no-gradient", "no loss is differentiated", place)
    return Cause("probe-no-gradient", "never reaches the loss", place)


def _unmoved(fact: dict[str, Any], facts: Facts) -> Cause:
    held = [facts.optimizers[index] for index in fact["optimizers"] if index < len(facts.optimizers)]
    built = place_from_json(held[0].get("place")) if held else None
    fate = fact.get("fate") or {}
    if fate.get("how") == "cleared":
        return Cause("probe-cleared", "cleared before the step", place_from_json(fate.get("place")))
    if fate.get("how") in _FATES:
        return Cause("probe-cleared", _FATES[fate["how"]])
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
    """At the line of the cut for cut gradients, else at the line that makes the parameter."""

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
            message=_message(cause, _Subject.of(group, judged), facts, group[0]),
            severity=_severity(cause.code, group),
            path=place.path,
            line=place.line,
            column=place.column,
            end_line=place.end_line,
            end_column=place.end_column,
            related=tuple(_related(group, place)),
        )


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
    return (cause.place if cause is not None and cause.code == "probe-cut" else None) or parameter.place


def _severity(code: str, group: Sequence[ParameterReport]) -> Literal["warning", "information"]:
    if code == "probe-frozen":
        # Frozen layers are how one fine-tunes; a parameter of one's own, frozen and yet optimized, is a slip.
        return "warning" if all(each.own and each.optimizers for each in group) else "information"
    return "information" if code == "probe-zero-gradient" else "warning"


@dataclass(frozen=True)
class _Subject:
    """Who a message is about, with the words that follow from its number."""

    names: str
    many: bool

    @classmethod
    def of(cls, group: Sequence[ParameterReport], judged: Sequence[ParameterReport]) -> _Subject:
        """The layers of `group` where all of a layer's parameters are in it, else the parameters."""
        inside = {each.name for each in group}
        names: list[str] = []
        for each in group:
            siblings = [other.name for other in judged if other.layer == each.layer]
            name = each.layer if all(sibling in inside for sibling in siblings) else each.name
            if name not in names:
                names.append(name)
        shown = [f"`{name}`" for name in names[:_MOST_NAMES]]
        if len(names) > _MOST_NAMES:
            shown.append(f"{len(names) - _MOST_NAMES} more")
        return cls(shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}", len(names) > 1)

    def __str__(self) -> str:
        return self.names

    def verb(self, one: str, many: str) -> str:
        return many if self.many else one

    @property
    def it(self) -> str:
        return "them" if self.many else "it"


def _message(cause: Cause, subject: _Subject, facts: Facts, first: ParameterReport) -> str:
    """Two sentences: what happens, what to do."""
    it, gets = subject.it, subject.verb("gets", "get")
    at = f" on line {cause.place.line}" if cause.place else ""
    if cause.code == "probe-not-registered":
        container, indexed, _ = first.name.partition("[")
        fix = f"Keep `{container}` in `nn.ModuleList`" if indexed else "Make it an `nn.Parameter`"
        kind = f": `{container}` is a plain container" if indexed else ""
        return (
            f"{subject} {subject.verb('is', 'are')} missing from `parameters()`{kind}, so no optimizer "
            f"ever sees {it}. {fix}."
        )
    if cause.code == "probe-frozen":
        return (
            f"{subject} {subject.verb('has', 'have')} `requires_grad=False`, so no step changes {it}. "
            f"Remove that{at} to train {it}."
        )
    if cause.code == "probe-not-finite":
        made = f", first made{at}" if at else ""
        return f"{subject} {gets} a gradient of NaN or infinity{made}. Keep its input in range."
    if cause.code == "probe-cut":
        cutter = cause.words.removeprefix("cut by ")
        return f"{cutter} cuts the gradient to {subject} here. Pass the tensor on as it is."
    if cause.code == "probe-no-gradient":
        if cause.words == "never used in forward":
            used = f"`forward` never uses {it}"
            return f"{subject} {gets} no gradient: {used}. Use {it} there, or remove {it}."
        if cause.words == "no loss is differentiated":
            return f"{subject} {gets} no gradient: no loss is ever differentiated. Return the loss."
        what = subject.verb("it computes", "they compute")
        return f"{subject} {gets} no gradient: what {what}{at} never reaches the loss. Use that result, or remove {it}."
    if cause.code == "probe-not-in-optimizer":
        name = facts.built["name"] if facts.built else "the optimizer"
        if not name:
            return (
                f"{subject} {gets} gradients that nobody applies: `configure_optimizers`{at} returns no "
                "optimizer. Return it."
            )
        if _made_after(first.place, cause.place) and facts.built and facts.built.get("others"):
            return (
                f"{subject} {gets} gradients that nobody applies: `{name}`{at} is built earlier and holds "
                f"what {subject.verb('it replaces', 'they replace')}. Build it after this line."
            )
        return (
            f"{subject} {gets} gradients that nobody applies: `{name}`{at} doesn't hold {it}. "
            f"Pass `{facts.model_name or 'model'}.parameters()`."
        )
    if cause.words == _ZERO_INPUT:
        return (
            f"{subject} {gets} a gradient of exactly 0: all that {subject.verb('its layer', 'their layers')} ever "
            f"{subject.verb('gets', 'get')}{at} is 0. Look at what computes that."
        )
    if cause.code == "probe-zero-gradient":
        return (
            f"{subject} {gets} a gradient of exactly 0 at every step. "
            f"Look for a dead activation, a mask or a zero weight between {it} and the loss."
        )
    if cause.words == _FATES["not-stored"]:
        return (
            f"{subject} {gets} a gradient that is never stored in `.grad`, where the optimizer looks for it. Call "
            "`backward()` on the loss, or assign `.grad`."
        )
    if cause.words == _FATES["zeroed"]:
        return (
            f"{subject} {gets} a gradient, and has 0 in its place when the optimizer steps. Look at what changes "
            "gradients between `backward()` and the step."
        )
    if cause.code == "probe-cleared":
        return f"{subject} {gets} a gradient that is cleared before the step{at}. Clear it before `backward()`."
    if cause.words == "learning rate 0":
        return f"{subject} {gets} a gradient, but the optimizer's learning rate is 0. Set `lr`."
    if cause.words == "update below float resolution":
        return f"{subject} {gets} a gradient, but the update is too small to change a float32. Raise the learning rate."
    if cause.words == "its optimizer never steps":
        return f"{subject} {gets} a gradient, but the optimizer that holds {it} never steps. Call its `step()`."
    return f"{subject} {gets} a gradient, but no step changes {it}. Look at what the optimizer does with {it}."


def _made_after(parameter: Place | None, optimizer: Place | None) -> bool:
    return bool(parameter and optimizer and parameter.path == optimizer.path and parameter.line > optimizer.line)


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
