"""Findings as JSON: a list, one object a finding."""

from __future__ import annotations

import json
from typing import Any, TextIO

from gradsense.cli.documents import Document, Place
from gradsense.cli.report import Report
from gradsense.findings import Edit, Finding
from gradsense.rules.pages import page_url


def write(report: Report, stream: TextIO) -> None:
    """Write the report as one JSON list."""
    findings = [_finding(report, document, finding) for document, finding in report.findings]
    json.dump(findings, stream, indent=2, ensure_ascii=False)
    stream.write("\n")


def _finding(report: Report, document: Document, finding: Finding) -> dict[str, Any]:
    view = document.view(finding.span.start)
    return {
        "path": str(document.path),
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity.value,
        "message": finding.message,
        **_place(view.place(finding.span)),
        "cell": view.cell,
        "url": page_url(finding.name),
        "tags": sorted(tag.value for tag in finding.tags),
        "related": [
            {
                "path": str(place.document.path),
                "cell": place.view.cell,
                "message": place.message,
                **_place(place.place),
            }
            for place in report.related(document, finding)
        ],
        "fixes": [
            {
                "title": fix.title,
                "safety": fix.safety.value,
                "edits": [_edit(document, edit) for edit in fix.edits],
            }
            for fix in finding.fixes
        ],
    }


def _edit(document: Document, edit: Edit) -> dict[str, Any]:
    view = document.view(edit.span.start)
    return {"cell": view.cell, **_place(view.place(edit.span)), "text": edit.text}


def _place(place: Place) -> dict[str, Any]:
    return {
        "start": {"line": place.line, "column": place.column},
        "end": {"line": place.end_line, "column": place.end_column},
    }
