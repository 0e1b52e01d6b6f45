"""What a check found, as every output format gets it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from gradsense.cli.documents import Document, Place, View, display_name, read_document
from gradsense.findings import Finding, Severity, Span
from gradsense.workspace.files import UnreadableFile


@dataclass(frozen=True, slots=True)
class Checked:
    """A document and what is wrong in it."""

    document: Document
    findings: tuple[Finding, ...]
    fixed: int = 0
    """How many findings were fixed."""


class RelatedPlace(NamedTuple):
    """A place that takes part in a finding."""

    message: str
    document: Document
    span: Span

    @property
    def view(self) -> View:
        """What a reader sees around it."""
        return self.document.view(self.span.start)

    @property
    def place(self) -> Place:
        """Where it is in its view."""
        return self.view.place(self.span)


@dataclass(frozen=True, slots=True)
class Shard:
    """Which part of a check a report is about."""

    part: int
    parts: int
    positions: Mapping[Path, int]
    """Where each file stands among those of all shards."""
    failed: bool
    """Whether something could not be checked."""


@dataclass(frozen=True, slots=True)
class Report:
    """A whole check, or the part of it that is a shard's. The text of a file without findings may be left out."""

    files: tuple[Checked, ...]
    working_directory: Path
    shard: Shard | None = None
    _others: dict[str, Document | None] = field(default_factory=dict)

    @property
    def findings(self) -> list[tuple[Document, Finding]]:
        """Every finding with its document, file by file."""
        return [(file.document, finding) for file in self.files for finding in file.findings]

    def count(self, severity: Severity) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity is severity for _, finding in self.findings)

    def related(self, document: Document, finding: Finding) -> Sequence[RelatedPlace]:
        """The places that take part in a finding; one in a file that can't be read any more is left out."""
        places: list[RelatedPlace] = []
        for related in finding.related:
            where = document if related.path is None else self._document(related.path)
            if where is not None:
                places.append(RelatedPlace(related.message, where, related.span))
        return places

    def _document(self, path: str) -> Document | None:
        if path not in self._others:
            checked = {str(file.document.path): file.document for file in self.files if file.findings}
            try:
                self._others[path] = checked.get(path) or read_document(Path(path), self.working_directory)
            except UnreadableFile:
                self._others[path] = None
        return self._others[path]


def uri_of(document: Document, working_directory: Path) -> str:
    """A document's address: relative to the working directory if it lies in there, else absolute."""
    if document.path.is_relative_to(working_directory):
        return quote(os.fsencode(display_name(document.path, working_directory)))
    return document.path.as_uri()
