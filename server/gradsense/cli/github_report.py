"""Findings as GitHub Actions' workflow commands: annotations on a pull request's lines."""

from __future__ import annotations

from typing import TextIO

from gradsense.cli.report import Report
from gradsense.findings import Severity

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFORMATION: "notice"}


def write(report: Report, stream: TextIO) -> None:
    """Write one command a finding."""
    for document, finding in report.findings:
        view = document.view(finding.span.start)
        place = view.place(finding.span)
        title = f"{finding.code} {finding.name}"
        properties = {"title": title, "file": document.name}
        if view.cell is None:
            properties |= {"line": str(place.line), "endLine": str(place.end_line)}
        else:  # a line of the cell is none of the file
            properties["title"] = f"{title} (cell {view.cell}, line {place.line})"
        if view.cell is None and place.line == place.end_line:  # columns mean something within one line only
            properties |= {"col": str(place.column), "endColumn": str(place.end_column)}
        listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        stream.write(f"::{_COMMANDS[finding.severity]} {listed}::{_data(finding.message)}\n")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
