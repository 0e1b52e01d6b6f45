"""A report by lines: what was measured of the layers that each line makes, in a few words. Pure."""

from __future__ import annotations

from gradsense.probe.layers import Layer
from gradsense.probe.report import ParameterReport, Place, ProbeReport
from gradsense.probe.table import number


def by_line(report: ProbeReport) -> list[tuple[Place, str, str]]:
    """For each line that makes layers: the place, a label for behind it, and a sentence for each parameter."""
    found: dict[tuple[str, int], list[ParameterReport]] = {}
    for each in report.parameters:
        if each.place is not None and each.gradient != "unknown":
            found.setdefault((each.place.path, each.place.line), []).append(each)
    made = (Layer("", tuple(members)) for members in found.values())
    return [(each.place, _label(each), "\n".join(map(_told, each.members))) for each in made if each.place is not None]


def _label(made: Layer) -> str:
    if made.cause is not None:
        stuck = sum(each.cause is not None for each in made.members)
        part = f" ({stuck} of {len(made.members)})" if made.partly else ""
        return f"✗ {made.cause.words}{part}"
    if made.norm is None:
        return "✓ reached"
    words = f"✓ gradient {number(made.norm)}"
    return f"{words}, update {number(made.ratio)}" if made.ratio is not None else words


def _told(each: ParameterReport) -> str:
    if each.cause is not None:
        return f"{each.name}: {each.cause.words}"
    if each.gradient_norm is None:
        return f"{each.name}: the loss reaches it"
    ratio = f", each step changes it by {number(each.update_ratio)} of its size" if each.update_ratio else ""
    return f"{each.name}: gradient norm {number(each.gradient_norm)}{ratio}"
