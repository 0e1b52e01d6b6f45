"""A report by lines: what was measured of the layers that each line makes, in a few words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gradsense.probe.report import ParameterReport, Place, ProbeReport
from gradsense.probe.table import number


def by_line(report: ProbeReport) -> list[tuple[Place, str, str]]:
    """For each line that makes layers: the place, a label for behind it, and a sentence for each parameter."""
    found: dict[tuple[str, int], list[ParameterReport]] = {}
    for each in report.parameters:
        if each.place is not None and each.gradient != "unknown":
            found.setdefault((each.place.path, each.place.line), []).append(each)
    return [
        (place, _label(members), "\n".join(map(_told, members)))
        for members in found.values()
        if (place := members[0].place) is not None
    ]


def _label(members: Sequence[ParameterReport]) -> str:
    stuck = [each for each in members if each.cause is not None]
    if stuck:
        assert stuck[0].cause is not None
        part = "" if len(stuck) == len(members) else f" ({len(stuck)} of {len(members)})"
        return f"✗ {stuck[0].cause.words}{part}"
    norms = [each.gradient_norm for each in members if each.gradient_norm is not None]
    ratios = [each.update_ratio for each in members if each.update_ratio is not None]
    if not norms:
        return "✓ reached"
    words = f"✓ gradient {number(sum(norm * norm for norm in norms) ** 0.5)}"
    return f"{words}, update {number(max(ratios))}" if ratios else words


def _told(each: ParameterReport) -> str:
    if each.cause is not None:
        return f"{each.name}: {each.cause.words}"
    if each.gradient_norm is None:
        return f"{each.name}: the loss reaches it"
    ratio = f", each step changes it by {number(each.update_ratio)} of its size" if each.update_ratio else ""
    return f"{each.name}: gradient norm {number(each.gradient_norm)}{ratio}"
