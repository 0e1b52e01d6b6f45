"""The report as lines of text: a header, one row for each layer, a verdict. Styles mark what the words say
already; how they look is for `cli/` to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from gradsense.probe.report import Cause, ParameterReport, ProbeReport

_WIDTH = 103  # the layout's; the table itself is as wide as its names need


Style = Literal["", "bold", "dim", "red", "yellow", "green"]


class Piece(NamedTuple):
    """A stretch of a line, and how it looks where there are colours."""

    text: str
    style: Style = ""


Line = tuple[Piece, ...]


def plain(report: ProbeReport, folder: Path | None = None) -> str:
    """The report as text without styles; paths as `styled` has them."""
    texts = ("".join(piece.text for piece in line) for line in styled(report, folder))
    return "\n".join(text.rstrip() for text in texts).rstrip("\n") + "\n"


def styled(report: ProbeReport, folder: Path | None = None) -> list[Line]:
    """The report's lines. A path inside `folder` is told from there."""
    where = f"{_relative(report.path, folder)}:{report.line}"
    lines: list[Line] = [(Piece(report.target, "bold"), Piece(f"  {where}"))]
    assumed = _assumed(report)
    if assumed:
        lines.append((Piece(assumed, "dim"),))
    if report.constructor_source == "guessed":
        lines.append((Piece(f"model   {report.constructor}, arguments guessed", "yellow"),))
    if report.parameters and report.measured:
        lines += [(), *_table(report)]
    lines.append(())
    for finding in report.findings:
        if not any(each.cause is not None and each.cause.code == finding.code for each in report.parameters):
            # It is about something that has no row: a layer that is made anew, or the data.
            lines.append((Piece(f"line {finding.line}: {finding.message}", "red"),))
    lines += [(Piece(f"note: {note}", "dim"),) for note in report.notes]
    if report.error is not None:
        lines.append((Piece(report.error, "red"),))
        if report.output.strip():
            lines.append((Piece("Its last output:", "dim"),))
            lines += [(Piece(f"  {line}", "dim"),) for line in report.output.rstrip().splitlines()[-8:]]
        return lines
    verdict, style = _verdict(report)
    timing = f"{_seconds(report.seconds)}, {report.device}"
    gap = " " * max(4, _WIDTH - len(verdict) - len(timing))
    lines.append((Piece(verdict, style), Piece(gap), Piece(timing, "dim")))
    return lines


def _assumed(report: ProbeReport) -> str:
    parts = []
    if report.inputs:
        sources = {each.source for each in report.inputs}
        if len(sources) == 1:
            batch = "; ".join(f"{each.name}: {each.text}" for each in report.inputs) + f", {sources.pop()}"
        else:
            batch = "; ".join(f"{each.name}: {each.text}, {each.source}" for each in report.inputs)
        parts.append(f"batch   {batch}")
    if report.loss:
        parts.append(f"loss  {report.loss}")
    if report.optimizers:
        parts.append(f"optimizer  {', '.join(map(_optimizer, report.optimizers))}")
    return "     ".join(parts)


def _optimizer(optimizer: object) -> str:
    place = getattr(optimizer, "place", None)
    name = str(getattr(optimizer, "name", ""))
    if not name:
        return "none"
    return f"{name} from line {place.line}" if place else f"{name}, the probe's own"


@dataclass(frozen=True)
class _Row:
    name: str
    count: int
    gradient: str
    ratio: str
    cause: Cause | None
    partly: bool


def layers(parameters: Sequence[ParameterReport]) -> list[tuple[str, list[ParameterReport]]]:
    """Parameters by layer, in order of their first appearance."""
    found: dict[str, list[ParameterReport]] = {}
    for each in parameters:
        found.setdefault(each.layer, []).append(each)
    return list(found.items())


def _table(report: ProbeReport) -> list[Line]:
    rows = [_row(name, members) for name, members in layers(report.parameters)]
    name_width = max(16, *(len(row.name) for row in rows))
    words_width = max([len(row.cause.words) for row in rows if row.cause] or [0])
    count_width = max(len("params"), *(len(str(row.count)) for row in rows))
    head = f"  {'layer':<{name_width}}   {'params':>{count_width}}   gradient   update/weight"
    lines: list[Line] = [(Piece(head, "dim"),)]
    for row in rows:
        line = Piece(f"  {row.name:<{name_width}}   {row.count:>{count_width}}   {row.gradient:>8}   {row.ratio:>13}")
        if row.cause is not None:
            place = row.cause.place
            where = f"{Path(place.path).name}:{place.line}" if place else ""
            words = f"{row.cause.words}{', in part' if row.partly else ''}"
            style: Style = "yellow" if row.cause.code == "probe-zero-gradient" else "red"
            lines.append((line, Piece(f"   {words:<{words_width}}     {where}".rstrip(), style)))
        else:
            lines.append((line,))
    return lines


def _row(name: str, members: list[ParameterReport]) -> _Row:
    norms = [each.gradient_norm for each in members if each.gradient_norm is not None]
    kinds = {each.gradient for each in members}
    if "not finite" in kinds:
        gradient = "not fin."
    elif norms:
        gradient = number(sum(norm * norm for norm in norms) ** 0.5)
    else:
        gradient = "none" if "none" in kinds else "reached" if "reached" in kinds else "-"
    ratios = [each.update_ratio for each in members if each.update_ratio is not None]
    ratio = number(max(ratios)) if ratios else ("0" if all(each.moved is False for each in members) else "-")
    causes = [each.cause for each in members if each.cause is not None]
    count = sum(each.count for each in members)
    return _Row(name, count, gradient, ratio, causes[0] if causes else None, 0 < len(causes) < len(members))


def number(value: float) -> str:
    """`3.2e-01`: two digits are enough to compare; exactly zero is `0`."""
    return "0" if value == 0 else f"{value:.1e}"


def _verdict(report: ProbeReport) -> tuple[str, Style]:
    grouped = layers(report.parameters)
    stuck = [members for _, members in grouped if not all(each.learns for each in members)]
    doubtful = [members for _, members in grouped if any(each.doubtful for each in members)]
    total = len(grouped)
    if total == 0:
        return f"{report.target} has no parameters: there is nothing to train.", "yellow"
    if not stuck and doubtful:
        some = f"{len(doubtful)} of {total} layer{'s' if total > 1 else ''}"
        verb = "gets" if len(doubtful) == 1 else "get"
        return f"{some} {verb} a gradient of 0. {_advice(report)}".rstrip(), "yellow"
    if not stuck and any(each.gradient == "reached" for each in report.parameters):
        return ("The loss reaches the layer." if total == 1 else f"The loss reaches all {total} layers."), "green"
    if not stuck:
        return ("The layer learns." if total == 1 else f"All {total} layers learn."), "green"
    verdict = f"{len(stuck)} of {total} layer{'s' if total > 1 else ''} will not learn."
    return f"{verdict} {_advice(report)}".rstrip(), "red"


def _advice(report: ProbeReport) -> str:
    """What to do about the most frequent cause, in one sentence: the second of its finding."""
    if not report.findings:
        return ""
    if any(each.code == "probe-not-in-optimizer" for each in report.findings):
        built = next((each for each in report.optimizers if each.place), None)
        finding = next(each for each in report.findings if each.code == "probe-not-in-optimizer")
        _, passes, argument = finding.message.rpartition("Pass `")
        argument = argument.rstrip("`.")
        if passes and built is not None and built.place is not None:
            return f"Pass {argument} to {built.name} (line {built.place.line})."
    sentence = report.findings[0].message.rpartition(". ")[2]
    return sentence.replace("`", "")


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _relative(name: str, folder: Path | None) -> str:
    path = Path(name)
    return path.relative_to(folder).as_posix() if folder and path.is_relative_to(folder) else name
