"""Findings as JSON: a list, one object a finding."""

from __future__ import annotations

import json
from typing import Any, TextIO

from gradsense.cli.documents import Document
from gradsense.cli.report import Place, Report, place_of
from gradsense.findings import Finding
from gradsense.rules.pages import page_url


def write(report: Report, stream: TextIO) -> None:
    """Write the report as one JSON list."""
    findings = [_finding(report, document, finding) for document, finding in report.findings]
    json.dump(findings, stream, indent=2, ensure_ascii=False)
    stream.write("\n")


def _finding(report: Report, document: Document, finding: Finding) -> dict[str, Any]:
    lines = document.lines
    return {
        "path": str(document.path),
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity.value,
        "message": finding.message,
        **_place(place_of(lines, finding.span)),
        "cell": document.cell_of(finding.span.start),
        "url": page_url(finding.name),
        "tags": sorted(tag.value for tag in finding.tags),
        "related": [
            {"path": str(place.document.path), "message": place.message, **_place(place.place)}
            for place in report.related(document, finding)
        ],
        "fixes": [
            {
                "title": fix.title,
                "safety": fix.safety.value,
                "edits": [{**_place(place_of(lines, edit.span)), "text": edit.text} for edit in fix.edits],
            }
            for fix in finding.fixes
        ],
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "start": {"line": place.line, "column": place.column},
        "end": {"line": place.end_line, "column": place.end_column},
    }
