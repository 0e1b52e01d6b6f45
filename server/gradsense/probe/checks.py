"""What the last stage has found, in words: wrong gradients, samples that mix, layers in eval mode. Pure."""

from __future__ import annotations

from typing import Any, Literal

from gradsense.probe.report import ProbeFinding, Related, place_from_json
from gradsense.probe.table import number

Severity = Literal["warning", "information"]


def check_finding(fact: dict[str, Any]) -> ProbeFinding:
    """The finding on what `worker/checks.py` has seen. Raises KeyError on anything else."""
    code, message, severity = _told(fact)
    place = place_from_json(fact["place"])
    path, line, column, end_line, end_column = (
        (place.path, place.line, place.column, place.end_line, place.end_column) if place else ("", 1, 0, 1, 0)
    )
    return ProbeFinding(code, message, severity, path, line, column, end_line, end_column, tuple(_related(fact)))


def _related(fact: dict[str, Any]) -> list[Related]:
    pairs = [(f"`{each['name']}` trained by it", each["place"]) for each in fact.get("parameters", ())]
    pairs.append(("made here", fact.get("made")))
    found: list[Related] = []
    lines = {(fact["place"] or {}).get("line")}
    for words, data in pairs:
        place = place_from_json(data)
        if place is not None and place.line not in lines:
            lines.add(place.line)
            found.append((words, place.path, place.line, place.column, place.end_line, place.end_column))
    return found


def _told(fact: dict[str, Any]) -> tuple[str, str, Severity]:
    kind = fact["kind"]
    if kind == "function":
        return _function(fact)
    if kind == "slope":
        others = f" and {len(fact['names']) - 1} more" if len(fact["names"]) > 1 else ""
        return (
            "probe-gradient-differs",
            f"`{fact['name']}`{others} gets another gradient than finite differences of the loss give: "
            f"{number(fact['gradient'])} where the loss's slope is {number(fact['slope'])}. Look for a hook that "
            "changes gradients, or a value that is changed through `.data`.",
            "information",
        )
    if kind == "eval-layer":
        effect = "it keeps its averages" if "Norm" in fact["layer"] else "it drops nothing"
        return (
            "probe-eval-mode",
            f"`{fact['name']}` stays in eval mode while the model is trained, so {effect}. "
            "Call `train()` on it, unless that is meant.",
            "information",
        )
    return _mixes(fact)


def _function(fact: dict[str, Any]) -> tuple[str, str, Severity]:
    name, given = fact["name"], fact["input"]
    gradient, slope, factor = fact["gradient"], fact["slope"], fact["factor"]
    if fact["how"] == "passes-on":
        what = "reverses" if factor is not None and factor < 0 else "changes"
        return (
            "probe-gradient-differs",
            f"`{name}` passes its values on and {what} the gradient to `{given}`. Nothing to do, if that is meant.",
            "information",
        )
    if fact["how"] == "straight-through":
        return (
            "probe-gradient-differs",
            f"`{name}` gives `{given}` a gradient where its values have none, as a straight-through estimator does. "
            "Nothing to do, if that is meant.",
            "information",
        )
    measure = f"{number(gradient)} where finite differences of `forward` give {number(slope)}"
    if factor == 0:
        measure = f"0 where finite differences of `forward` give {number(slope)}"
    elif factor is not None:
        times = "the negative of" if abs(factor + 1) < 1e-3 else f"{factor:.3g} times"
        measure = f"{times} what finite differences of `forward` give"
    return (
        "probe-wrong-gradient",
        f"`{name}.backward` gives `{given}` a wrong gradient: {measure}. Derive `backward` from `forward` again.",
        "warning",
    )


def _mixes(fact: dict[str, Any]) -> tuple[str, str, Severity]:
    severity: Severity = "warning" if fact["certain"] else "information"
    operation = fact["operation"].strip("_")
    if fact.get("layer"):
        shape = tuple(fact["shape"])
        return (
            "probe-samples-mix",
            f"`{fact['layer']}` takes the first dimension of {shape} for the sequence, so the {shape[0]} samples of a "
            "batch leak into each other here. Pass `batch_first=True`, or transpose its input.",
            severity,
        )
    if fact.get("reshaped"):
        return (
            "probe-samples-mix",
            f"`{operation}` puts values of several samples into one here, and they leak into each other. "
            "Keep the first dimension, or `transpose` where the order of dimensions is to change.",
            severity,
        )
    return (
        "probe-samples-mix",
        f"`{operation}` mixes the samples of a batch here: what the model says of one depends on the others. "
        "Look at the dimension it works along, unless that is meant.",
        severity,
    )
