"""Findings as GitHub Actions' workflow commands: annotations on a pull request's lines."""

from __future__ import annotations

from typing import TextIO

from gradsense.cli.report import Report, place_of
from gradsense.findings import Severity

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFORMATION: "notice"}


def write(report: Report, stream: TextIO) -> None:
    """Write one command a finding."""
    for document, finding in report.findings:
        place = place_of(document.lines, finding.span)
        properties = {
            "title": f"{finding.code} {finding.name}",
            "file": document.name,
            "line": str(place.line),
            "endLine": str(place.end_line),
        }
        if place.line == place.end_line:  # columns mean something within one line only
            properties |= {"col": str(place.column), "endColumn": str(place.end_column)}
        listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        stream.write(f"::{_COMMANDS[finding.severity]} {listed}::{_data(finding.message)}\n")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
