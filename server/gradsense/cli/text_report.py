"""Findings for people: message, source excerpt, fix."""

from __future__ import annotations

import json
from collections import Counter
from typing import TextIO

from rich.console import Console
from rich.text import Text

from gradsense.cli.documents import Document
from gradsense.cli.excerpt import Mark, excerpt, gutter, gutter_width
from gradsense.cli.report import RelatedPlace, Report
from gradsense.cli.terminal import console_for
from gradsense.findings import Finding, Safety, Severity
from gradsense.fixes import fix_of
from gradsense.rules.pages import page_url

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFORMATION: "bold cyan"}
_RELATED = "blue"


def write(report: Report, stream: TextIO) -> None:
    """Write each finding with its place in the source, then one line that sums up."""
    console = console_for(stream)
    for document, finding in report.findings:
        _write_finding(console, report, document, finding)
    console.print(Text(_summary(report)), soft_wrap=True)


def write_statistics(report: Report, stream: TextIO, *, as_json: bool) -> None:
    """Write how often each rule was found, the most frequent first."""
    counts = Counter((finding.code, finding.name) for _, finding in report.findings)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if as_json:
        rows = [{"code": code, "name": name, "count": count} for (code, name), count in ordered]
        stream.write(json.dumps(rows, indent=2) + "\n")
        return
    width = max((len(str(count)) for count in counts.values()), default=1)
    for (code, name), count in ordered:
        stream.write(f"{count:>{width}}  {code}  {name}\n")
    stream.write(_summary(report) + "\n")


def _write_finding(console: Console, report: Report, document: Document, finding: Finding) -> None:
    style = _STYLES[finding.severity]
    kind = f"{finding.severity.value}[{finding.code}]"
    linked = f"{style} link {page_url(finding.name)}"  # where the terminal knows links, a click opens the page
    heading = Text.assemble((kind, linked), (f" {finding.message}", "bold"))
    console.print(heading, soft_wrap=True)
    related = report.related(document, finding)
    view = document.view(finding.span.start)
    same = ", ".join(place.message for place in related if place.view is view and place.span == finding.span)
    here = [place for place in related if place.view is view and place.span != finding.span]
    elsewhere = [place for place in related if place.view is not view]
    marks = [Mark(finding.span, same, style, "^"), *(Mark(it.span, it.message, _RELATED, "-") for it in here)]
    width = gutter_width(view, marks)
    _write_location(console, view.location(finding.span), width, "-->")
    for line in excerpt(view, marks, width):
        console.print(line, soft_wrap=True)
    for place in elsewhere:
        _write_elsewhere(console, place, width)
    console.print(gutter(width), soft_wrap=True)
    for label, words in _notes(finding):
        console.print(Text.assemble(gutter(width, "="), (f" {label}", "bold"), words), soft_wrap=True)
    console.print()


def _write_elsewhere(console: Console, place: RelatedPlace, width: int) -> None:
    mark = Mark(place.span, place.message, _RELATED, "-")
    width = max(width, gutter_width(place.view, [mark]))
    _write_location(console, place.view.location(place.span), width, ":::")
    for line in excerpt(place.view, [mark], width):
        console.print(line, soft_wrap=True)


def _write_location(console: Console, location: str, width: int, arrow: str) -> None:
    console.print(Text.assemble(" " * width, (arrow, "bold blue"), f" {location}"), soft_wrap=True)
    console.print(gutter(width), soft_wrap=True)


def _notes(finding: Finding) -> list[tuple[str, str]]:
    """The rule, and what can be done about it."""
    notes = [("rule: ", finding.name)]
    for fix in finding.fixes:
        if fix.safety is Safety.SAFE:
            notes.append(("fix: ", fix.title))
        elif fix.safety is Safety.UNSAFE:
            notes.append(("unsafe fix: ", fix.title))
    return notes


def _summary(report: Report) -> str:
    fixed = sum(file.fixed for file in report.files)
    done = f"Fixed {fixed}. " if fixed else ""
    findings = [finding for _, finding in report.findings]
    if not findings:
        return f"{done}Nothing found in {_counted(len(report.files), 'file')}."
    counts = [_counted(n, severity.value) for severity in Severity if (n := report.count(severity))]
    files = sum(bool(file.findings) for file in report.files)
    safe = sum(fix_of(finding, unsafe=False) is not None for finding in findings)
    more = sum(fix_of(finding, unsafe=True) is not None for finding in findings) - safe
    found = f"{done}Found {_enumerated(counts)} in {_counted(files, 'file')}."
    if safe:
        found += f" --fix repairs {safe}{f', with --unsafe-fixes {safe + more}' if more else ''}."
    elif more:
        found += f" --fix --unsafe-fixes repairs {more}."
    return found


def _counted(number: int, noun: str) -> str:
    plural = noun if noun == "information" else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _enumerated(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
