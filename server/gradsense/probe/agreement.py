"""Where a rule's finding and the probe meet: what the probe confirms, and what it refutes. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.probe.report import ParameterReport, Place, ProbeReport

_OF_A_LAYER = frozenset({"probe-not-registered", "probe-no-gradient"})
_OF_AN_OPTIMIZER = frozenset({"probe-not-in-optimizer", "probe-unmoved"})


def confirmation(report: ProbeReport, causes: frozenset[str], lines: frozenset[int]) -> str | None:
    """What the probe has seen of a finding, in a sentence; None if nothing.

    `causes` are those that prove the finding's rule right (`Rule.proven_by`), `lines` (1-based, in the report's file)
    its own and those that take part in it.
    """
    for each in report.parameters:
        cause = each.cause
        if cause is not None and cause.code in causes and _stand_in(report, lines, each.place, cause.place):
            return f"The probe confirms it: `{each.name}`, {cause.words}."
    for finding in report.findings:
        if finding.code in causes and finding.path == report.path and finding.line in lines:
            return "The probe confirms it."
    return None


def is_refuted(report: ProbeReport, causes: frozenset[str], line: int, whole_script: bool) -> bool:
    """Whether the probe has shown that a finding at `line` is wrong.

    That takes what the line itself makes: layers, all of whose parameters learn; or, when the script itself was run,
    the optimizer, beside which nothing is left that doesn't learn.
    """
    if report.error is not None or not causes or not report.measured:
        return False
    made = [each for each in report.parameters if _stand_in(report, frozenset((line,)), each.place)]
    if made and causes <= _OF_A_LAYER:
        return all(map(_learns_for_certain, made))
    builds = any(_stand_in(report, frozenset((line,)), optimizer.place) for optimizer in report.optimizers)
    return whole_script and builds and causes <= _OF_AN_OPTIMIZER and all(map(_learns_for_certain, report.parameters))


def _learns_for_certain(each: ParameterReport) -> bool:
    return each.cause is None and each.gradient == "finite" and each.moved is True


def _stand_in(report: ProbeReport, lines: frozenset[int], *places: Place | None) -> bool:
    return any(place.path == report.path and place.line in lines for place in _known(places))


def _known(places: tuple[Place | None, ...]) -> Iterator[Place]:
    return (place for place in places if place is not None)
