"""The report in a terminal: a header, one row for each layer, a verdict. Colour marks what the words already
say."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from gradsense.probe.report import Cause, ParameterReport, ProbeReport

_WIDTH = 103  # the layout's; the table itself is as wide as its names need


def render(report: ProbeReport, color: bool) -> str:
    """The report as text, with ANSI colours if `color`."""
    buffer = io.StringIO()
    console = Console(
        file=buffer, force_terminal=color, no_color=not color, color_system="standard" if color else None,
        width=10_000, highlight=False, legacy_windows=False, soft_wrap=True,
    )  # fmt: skip
    for line in _lines(report):
        console.print(line, soft_wrap=True)
    return "\n".join(line.rstrip() for line in buffer.getvalue().split("\n")).rstrip("\n") + "\n"


def _lines(report: ProbeReport) -> list[Text]:
    lines = [Text.assemble((report.target, "bold"), f"  {_short(report.path)}:{report.line}")]
    assumed = _assumed(report)
    if assumed:
        lines.append(Text(assumed, "dim"))
    if report.constructor_source == "guessed":
        lines.append(Text(f"model   {report.constructor}, arguments guessed", "yellow"))
    if report.parameters and report.measured:
        lines += [Text(""), *_table(report)]
    lines.append(Text(""))
    for finding in report.findings:
        if finding.code == "probe-made-in-forward":  # it is about a layer that has no row
            lines.append(Text(f"line {finding.line}: {finding.message}", "red"))
    lines += [Text(f"note: {note}", "dim") for note in report.notes]
    if report.error is not None:
        lines.append(Text(report.error, "red"))
        if report.output.strip():
            lines.append(Text("Its last output:", "dim"))
            lines += [Text(f"  {line}", "dim") for line in report.output.rstrip().splitlines()[-8:]]
        return lines
    verdict, style = _verdict(report)
    timing = f"{_seconds(report.seconds)}, {report.device}"
    gap = " " * max(4, _WIDTH - len(verdict) - len(timing))
    lines.append(Text.assemble((verdict, style), gap, (timing, "dim")))
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


def _table(report: ProbeReport) -> list[Text]:
    rows = [_row(name, members) for name, members in layers(report.parameters)]
    name_width = max(16, *(len(row.name) for row in rows))
    words_width = max([len(row.cause.words) for row in rows if row.cause] or [0])
    head = f"  {'layer':<{name_width}}   {'params':>6}   gradient   update/weight"
    lines = [Text(head, "dim")]
    for row in rows:
        style = "" if row.cause is None else ("yellow" if row.cause.code == "probe-zero-gradient" else "red")
        line = Text(f"  {row.name:<{name_width}}   {row.count:>6}   {row.gradient:>8}   {row.ratio:>13}")
        if row.cause is not None:
            place = row.cause.place
            where = f"{os.path.basename(place.path)}:{place.line}" if place else ""
            words = f"{row.cause.words}{', in part' if row.partly else ''}"
            line.append(f"   {words:<{words_width}}     {where}".rstrip(), style)
        lines.append(line)
    return lines


def _row(name: str, members: list[ParameterReport]) -> _Row:
    norms = [each.gradient_norm for each in members if each.gradient_norm is not None]
    kinds = {each.gradient for each in members}
    if "not finite" in kinds:
        gradient = "not fin."
    elif norms:
        gradient = number(sum(norm * norm for norm in norms) ** 0.5)
    else:
        gradient = "none" if "none" in kinds else "-"
    ratios = [each.update_ratio for each in members if each.update_ratio is not None]
    ratio = number(max(ratios)) if ratios else ("0" if all(each.moved is False for each in members) else "-")
    causes = [each.cause for each in members if each.cause is not None]
    count = sum(each.count for each in members)
    return _Row(name, count, gradient, ratio, causes[0] if causes else None, 0 < len(causes) < len(members))


def number(value: float) -> str:
    """`3.2e-01`: two digits are enough to compare; exactly zero is `0`."""
    return "0" if value == 0 else f"{value:.1e}"


def _verdict(report: ProbeReport) -> tuple[str, str]:
    grouped = layers(report.parameters)
    stuck = [members for _, members in grouped if any(each.cause for each in members)]
    total = len(grouped)
    if total == 0:
        return f"{report.target} has no parameters: there is nothing to train.", "yellow"
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


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
