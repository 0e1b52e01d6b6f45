"""Steps that change weights far too much or hardly at all, beside what is usual (about 1e-3 of a weight's size). Pure.

Only for the user's own optimizers, and only what repeats: over all steps, and over all seeds. A weight that begins at
zero, or close to it, has no size to compare with.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from gradsense.probe.report import ProbeFinding, Related, place_from_json
from gradsense.probe.table import number

_REPLACED = 1.0
"""Of a step that changes a weight by more than its size, the weight before is forgotten."""
_REPLACED_AT_ONCE = 10.0
"""Of the first step: after it the weights are as large as the step itself, so the ratio is 1 from then on."""
_TINY = 2.0**-24
"""What float32 can still tell: most elements of a weight stay as they are."""
_LEAST_SIZE = 1e-3
"""Root mean square of a weight before the first step."""
_LEAST_STEPS = 3
_ROUNDING = 1e-6
_MOST_NAMES = 4
_MOST_RELATED = 6


def update_findings(
    parameters: Sequence[dict[str, Any]], optimizers: Sequence[dict[str, Any]]
) -> Iterator[ProbeFinding]:
    """At the line of each optimizer, the weights that it changes too much, and those too little."""
    norms = sorted(each["gradient_norm"] for each in parameters if each.get("gradient_norm"))
    middle = norms[len(norms) // 2] if norms else 0.0
    for index, optimizer in enumerate(optimizers):
        held = [each for each in parameters if index in each["optimizers"] and _can_be_judged(each, middle)]
        yield from _finding(optimizer, [each for each in held if _is_replaced(each)], "probe-update-large")
        yield from _finding(optimizer, [each for each in held if _is_tiny(each)], "probe-update-small")


def _can_be_judged(fact: dict[str, Any], middle: float) -> bool:
    """Is it a weight of some size, with a gradient that is more than rounding, over enough steps?"""
    return (
        len(fact["shape"]) >= 2
        and fact["gradient"] == "finite"
        and bool(fact.get("moved"))
        and (fact.get("size") or 0.0) >= _LEAST_SIZE
        and len(fact.get("ratios", ())) >= _LEAST_STEPS
        and (fact.get("gradient_norm") or 0.0) > _ROUNDING * middle
    )


def _is_replaced(fact: dict[str, Any]) -> bool:
    # A small weight that a healthy run makes larger changes by more than its size, but not at every step.
    return bool(min(fact["ratios"]) > _REPLACED or min(fact["first_ratios"], default=0.0) > _REPLACED_AT_ONCE)


def _is_tiny(fact: dict[str, Any]) -> bool:
    # A warm-up begins with a learning rate of about 0, and gives each step more than the one before.
    return bool(max(fact["ratios"]) < _TINY and fact["ratios"][-1] < 2 * fact["ratios"][0])


def _finding(optimizer: dict[str, Any], found: list[dict[str, Any]], code: str) -> Iterator[ProbeFinding]:
    place = place_from_json(optimizer.get("place"))
    if not found or place is None:
        return
    ratio = number(statistics.median([statistics.median(each["ratios"]) for each in found]))
    names = list(dict.fromkeys(each["layer"] for each in found))
    shown = ", ".join(f"`{name}`" for name in names[:_MOST_NAMES])
    if len(names) > _MOST_NAMES:
        shown += f" and {len(names) - _MOST_NAMES} more"
    rate = max(optimizer.get("rates") or [0.0])
    if code == "probe-update-large":
        message = (
            f"Each step changes {shown} by {ratio} of its size, so the weights are replaced rather than trained. "
            f"Lower the learning rate ({number(rate)})."
        )
    else:
        message = (
            f"Each step changes {shown} by {ratio} of its size, about what float32 can tell. "
            f"Raise the learning rate ({number(rate)}), or look at why the gradient is so small."
        )
    related: list[Related] = []
    lines = {place.line}
    for each in found:
        made = place_from_json(each.get("place"))
        if made is not None and made.line not in lines and len(related) < _MOST_RELATED:
            lines.add(made.line)
            related.append(
                (f"`{each['layer']}` made here", made.path, made.line, made.column, made.end_line, made.end_column)
            )
    yield ProbeFinding(
        code, message, "information", place.path, place.line, place.column, place.end_line, place.end_column,
        tuple(related),
    )  # fmt: skip
