"""Findings as one line each, as compilers print them: for reviewdog, quickfix lists and grep."""

from __future__ import annotations

from typing import TextIO

from gradsense.cli.documents import plain
from gradsense.cli.report import Report


def write(report: Report, stream: TextIO) -> None:
    """Write `file:line:column: severity[code] message` for each finding, and nothing else."""
    for document, finding in report.findings:
        where = document.view(finding.span.start).location(finding.span)
        message = " ".join(finding.message.split())
        stream.write(f"{where}: {finding.severity.value}[{finding.code}] {plain(message)}\n")
