"""Findings as SARIF 2.1.0, for code scanning and whatever else reads it."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TextIO

from gradsense import __version__
from gradsense.cli.documents import Document
from gradsense.cli.report import RelatedPlace, Report, uri_of
from gradsense.findings import Finding, Fix, Severity, Span
from gradsense.rules.pages import page_url
from gradsense.rules.registry import all_rules

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFORMATION: "note"}


def write(report: Report, stream: TextIO) -> None:
    """Write the report as one SARIF log with one run."""
    json.dump(log_of(report), stream, indent=2, ensure_ascii=False)
    stream.write("\n")


def log_of(report: Report) -> dict[str, Any]:
    """The log as SARIF's objects."""
    rules = sorted(all_rules(), key=lambda rule: rule.code)
    indices = {rule.code: index for index, rule in enumerate(rules)}
    driver = {
        "name": "GradSense",
        "semanticVersion": __version__,
        "informationUri": "https://github.com/gradsense/gradsense",
        "rules": [
            {
                "id": rule.code,
                "name": _pascal_case(rule.name),
                "shortDescription": {"text": rule.summary},
                "fullDescription": {"text": rule.summary},
                "helpUri": page_url(rule.name),
                "help": {"text": rule.documentation, "markdown": rule.documentation},
                "defaultConfiguration": {"level": _LEVELS[rule.severity]},
            }
            for rule in rules
        ],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(report, document, finding, indices) for document, finding in report.findings],
    }
    if report.shard is not None:
        run["properties"] = shard_properties(report)
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


SHARD = "gradsense/shard"


def shard_properties(report: Report) -> dict[str, Any]:
    """What `gradsense merge` has to know of a shard: which one it is, and where its results stand among all."""
    shard = report.shard
    assert shard is not None
    positions = [shard.positions[document.path] for document, _ in report.findings]
    return {SHARD: {"part": shard.part, "parts": shard.parts, "failed": shard.failed, "positions": positions}}


def _result(report: Report, document: Document, finding: Finding, indices: dict[str, int]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.message},
        "locations": [
            {
                "physicalLocation": _location(report, document, finding.span),
                **_in_cell(document, finding.span),
            }
        ],
        "partialFingerprints": {"gradsense/v1": _fingerprint(finding)},
    }
    if finding.code in indices:
        result["ruleIndex"] = indices[finding.code]
    if related := report.related(document, finding):
        result["relatedLocations"] = [_related(report, number, place) for number, place in enumerate(related, start=1)]
    fixes = [_fix(report, document, fix) for fix in finding.fixes if fix.edits]
    if fixes and not document.cells:
        result["fixes"] = fixes
    return result


def _related(report: Report, number: int, place: RelatedPlace) -> dict[str, Any]:
    return {
        "id": number,
        "message": {"text": place.message},
        "physicalLocation": _location(report, place.document, place.span),
    }


def _location(report: Report, document: Document, span: Span) -> dict[str, Any]:
    artifact = _artifact(report, document)
    # A line of a notebook's cell is none of the file.
    return {"artifactLocation": artifact, **({} if document.cells else {"region": _region(document, span)})}


def _in_cell(document: Document, span: Span) -> dict[str, Any]:
    """The place in a notebook, in words."""
    view = document.view(span.start)
    if view.cell is None:
        return {}
    words = f"cell {view.cell}, line {view.place(span).line}"
    return {"logicalLocations": [{"name": words, "kind": "member"}]}


def _artifact(report: Report, document: Document) -> dict[str, Any]:
    return {"uri": uri_of(document, report.working_directory)}


def _region(document: Document, span: Span) -> dict[str, Any]:
    place = document.view(span.start).place(span)
    return {
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    }


def _fix(report: Report, document: Document, fix: Fix) -> dict[str, Any]:
    replacements = [
        {"deletedRegion": _region(document, edit.span), "insertedContent": {"text": edit.text}}
        for edit in sorted(fix.edits)
    ]
    change = {"artifactLocation": _artifact(report, document), "replacements": replacements}
    return {"description": {"text": fix.title}, "artifactChanges": [change]}


def _fingerprint(finding: Finding) -> str:
    """The same for the same mistake after lines above it came and went."""
    key = finding.key or finding.message
    return hashlib.sha256(f"{finding.code}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _pascal_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))
