"""What a script feeds its networks, and in which mode, where that keeps them from learning; in words. Pure."""

from __future__ import annotations

from typing import Any, Literal

from gradsense.probe.report import ProbeFinding, place_from_json


def data_finding(fact: dict[str, Any]) -> ProbeFinding:
    """The finding on what `worker/data_watch.py` has seen, at the line that uses the data. Raises KeyError on
    anything else.
    """
    place = place_from_json(fact["place"])
    message, severity = _message(fact)
    path, line, column, end_line, end_column = (
        (place.path, place.line, place.column, place.end_line, place.end_column) if place else ("", 1, 0, 1, 0)
    )
    return ProbeFinding(f"probe-data-{fact['kind']}", message, severity, path, line, column, end_line, end_column)


def _message(fact: dict[str, Any]) -> tuple[str, Literal["warning", "information"]]:
    kind = fact["kind"]
    if kind == "not-finite":
        count = fact["count"]
        values = "1 value of the batch is" if count == 1 else f"{count} values of the batch are"
        return (
            f"{values} NaN or infinite before the network sees them. Clean the data, or look at its scaling.",
            "warning",
        )
    if kind == "constant-features":
        samples, count, total = fact["samples"], fact["count"], fact["total"]
        if count == total:
            return (
                f"All {samples} samples are the same, so there is nothing to learn from. Look at how it is read.",
                "warning",
            )
        which = ", ".join(map(str, fact["constant"])) + (", ..." if count > len(fact["constant"]) else "")
        features = f"Feature {which} has" if count == 1 else f"{count} of {total} features ({which}) have"
        return (
            f"{features} the same value in all {samples} samples, and {'tells' if count == 1 else 'tell'} the network "
            "nothing. Look at how the data is read.",
            "information",
        )
    if kind == "single-class":
        return (
            f"All {fact['samples']} targets are class {fact['value']}, so the network only learns to say that. "
            "Shuffle the data, or look at how the labels are made.",
            "warning",
        )
    if kind == "constant-target":
        return (
            f"All {fact['samples']} targets are {fact['value']}, so the network only learns to say that. "
            "Look at how the targets are made.",
            "warning",
        )
    if kind == "eval-mode":
        return (
            f"`{fact['name']}` is trained in eval mode: dropout is off, and batch norm keeps its averages. "
            "Call `train()` before the loop.",
            "information",
        )
    first, second = fact["shapes"]
    return (
        f"{first} against {second} makes a square: each prediction is compared with every target. "
        "Give both one shape, by `squeeze(1)` or `unsqueeze(1)`.",
        "warning",
    )
