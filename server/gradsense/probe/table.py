"""The report as lines of text: a header, one row for each layer, a verdict. Styles mark what the words say
already; how they look is for `cli/` to decide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from gradsense.probe.compare import Change, compare, in_short, is_other
from gradsense.probe.layers import Layer, layers_of
from gradsense.probe.report import ELSEWHERE, NO_GRADIENT_ON_RANK, RANKS_DIFFER, ProbeReport

_WIDTH = 103  # the layout's; the table itself is as wide as its names need


Style = Literal["", "bold", "dim", "red", "yellow", "green"]


class Piece(NamedTuple):
    """A stretch of a line, and how it looks where there are colours."""

    text: str
    style: Style = ""


Line = tuple[Piece, ...]


def plain(report: ProbeReport, folder: Path | None = None, before: ProbeReport | None = None) -> str:
    """The report as text without styles; paths and comparison as `styled` has them."""
    texts = ("".join(piece.text for piece in line) for line in styled(report, folder, before))
    return "\n".join(text.rstrip() for text in texts).rstrip("\n") + "\n"


def styled(report: ProbeReport, folder: Path | None = None, before: ProbeReport | None = None) -> list[Line]:
    """The report's lines, and what has changed since the one `before`. A path inside `folder` is told from
    there."""
    where = f"{seen_from(report.path, folder)}:{report.line}"
    lines: list[Line] = [(Piece(report.target, "bold"), Piece(f"  {where}"))]
    assumed = _assumed(report)
    if assumed:
        lines.append((Piece(assumed, "dim"),))
    if report.constructor_source == "guessed":
        lines.append((Piece(f"model   {report.constructor}, arguments guessed", "yellow"),))
    elif report.constructor_source.startswith(ELSEWHERE):
        lines.append((Piece(f"model   {report.constructor}, {report.constructor_source}", "dim"),))
    if report.hint_line:
        lines.append((Piece(f"made up, to be corrected above the class: {report.hint_line}", "dim"),))
    if report.parameters and report.measured:
        lines += [(), *_table(report)]
        if before is not None:
            lines += [(), *_compared(compare(before, report))]
    lines.append(())
    for finding in report.findings:
        in_rows = any(each.cause is not None and each.cause.code == finding.code for each in report.parameters)
        if not in_rows or finding.code in (NO_GRADIENT_ON_RANK, RANKS_DIFFER):
            # It is about something that has no row (a layer that is made anew, the data), or says more than a row can.
            lines.append((Piece(f"line {finding.line}: {finding.message}", "red"),))
    lines += [(Piece(f"note: {note}", "dim"),) for note in report.notes]
    if any(each.state != "done" for each in report.ranks):
        lines += [(Piece(f"rank {each.rank} on {each.host}: {each.words}", "dim"),) for each in report.ranks]
    if report.error is not None:
        lines.append((Piece(report.error, "red"),))
        if report.output.strip():
            lines.append((Piece("Its last output:", "dim"),))
            lines += [(Piece(f"  {line}", "dim"),) for line in report.output.rstrip().splitlines()[-8:]]
        return lines
    verdict, style = verdict_of(report)
    timing = f"{seconds_in_words(report.seconds)}, {report.device}"
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


def _table(report: ProbeReport) -> list[Line]:
    rows = layers_of(report.parameters)
    name_width = max(16, *(len(row.name) for row in rows))
    words_width = max([len(row.cause.words) for row in rows if row.cause] or [0])
    count_width = max(len("params"), *(len(str(row.count)) for row in rows))
    head = f"  {'layer':<{name_width}}   {'params':>{count_width}}   gradient   update/weight"
    lines: list[Line] = [(Piece(head, "dim"),)]
    for row in rows:
        measured = f"{gradient_words(row):>8}   {ratio_words(row):>13}"
        line = Piece(f"  {row.name:<{name_width}}   {row.count:>{count_width}}   {measured}")
        if row.cause is not None:
            place = row.cause.place
            where = f"{Path(place.path).name}:{place.line}" if place else ""
            words = f"{row.cause.words}{', in part' if row.partly else ''}"
            style: Style = "yellow" if all(each.learns for each in row.members) else "red"
            lines.append((line, Piece(f"   {words:<{words_width}}     {where}".rstrip(), style)))
        else:
            lines.append((line,))
    return lines


def _compared(changes: Sequence[Change]) -> list[Line]:
    """What has changed since an earlier probe, and the numbers of the layers that are in both."""
    lines: list[Line] = [(Piece(in_short(changes), "bold"),)]
    width = max((len(each.name) for each in changes), default=0)
    for each in changes:
        parts = [] if each.kind == "same" else [f"{each.kind}, was {each.was}" if each.was else each.kind]
        if each.before is not None and each.after is not None:
            if is_other(each.before.norm, each.after.norm):
                parts.append(f"gradient {gradient_words(each.before)} -> {gradient_words(each.after)}")
            if is_other(each.before.ratio, each.after.ratio):
                parts.append(f"update/weight {ratio_words(each.before)} -> {ratio_words(each.after)}")
        if parts:
            style: Style = "green" if each.kind == "learns now" else "red" if each.kind == "no longer learns" else ""
            lines.append((Piece(f"  {each.name:<{width}}   "), Piece("   ".join(parts), style)))
    return lines


def gradient_words(layer: Layer) -> str:
    """The gradient of a layer in a cell."""
    if layer.gradient in ("finite", "zero"):
        return number(layer.norm or 0.0)
    return {"not finite": "not fin.", "unknown": "-"}.get(layer.gradient, layer.gradient)


def ratio_words(layer: Layer) -> str:
    """The update of a layer, as a part of its weight, in a cell."""
    return "-" if layer.ratio is None else number(layer.ratio)


def number(value: float) -> str:
    """`3.2e-01`: two digits are enough to compare; exactly zero is `0`."""
    return "0" if value == 0 else f"{value:.1e}"


def verdict_of(report: ProbeReport) -> tuple[str, Style]:
    """The verdict on a probe that came to its end, with what to do."""
    grouped = [each.members for each in layers_of(report.parameters)]
    stuck = [members for members in grouped if not all(each.learns for each in members)]
    doubtful = [members for members in grouped if any(each.doubtful for each in members)]
    total = len(grouped)
    differ = sum(any(each.differs_on for each in members) for members in grouped)
    lacking = sum(any(each.without_gradient_on for each in members) for members in grouped)
    if differ and differ == len(stuck):
        some = f"{differ} of {total} layer{'s' if total > 1 else ''}"
        return f"The ranks disagree on {some} after the step. {_advice(report)}".rstrip(), "red"
    if not stuck and lacking:
        some = f"{lacking} of {total} layer{'s' if total > 1 else ''} get{'s' if lacking == 1 else ''}"
        return f"{some} no gradient on some rank. {_advice(report)}".rstrip(), "yellow"
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


def seconds_in_words(value: float) -> str:
    """`0.09 s`, `12 s`."""
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def seen_from(name: str, folder: Path | None) -> str:
    """A path as it is told: from `folder` if it lies there."""
    path = Path(name)
    return path.relative_to(folder).as_posix() if folder and path.is_relative_to(folder) else name
