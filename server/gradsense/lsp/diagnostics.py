"""Diagnostics: pulled by clients that can, pushed to the others, never both.

The rules' findings and the probe's travel the same way. A client that pulls is asked to do so again when
something changes that is no edit of its own: the answer to a question, another file, a probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from gradsense.findings import Finding, Fix, Related
from gradsense.lsp.analyses import Analysed
from gradsense.lsp.convert import SEVERITIES, TAGS, range_of, uri_of
from gradsense.lsp.documents import Part

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

SOURCE = "gradsense"

SECONDS_TO_COMPLETE = 2.0
"""How long a client that can't be asked to pull again waits for the answers to the engine's questions."""


class Diagnostics:
    """`textDocument/diagnostic` and `textDocument/publishDiagnostics`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._published: set[str] = set()
        self._refresh_wanted = False

    def register(self) -> None:
        self._server.handle(
            types.TEXT_DOCUMENT_DIAGNOSTIC,
            self.pull,
            types.DiagnosticOptions(identifier=SOURCE, inter_file_dependencies=True, workspace_diagnostics=False),
        )

    async def pull(self, params: types.DocumentDiagnosticParams) -> types.DocumentDiagnosticReport:
        uri = params.text_document.uri
        analysed = await self._analysed(uri)
        part = analysed.source.part_of(uri) if analysed else None
        if analysed is None or part is None:
            return types.RelatedFullDocumentDiagnosticReport(items=[])
        state = f"{analysed.serial}.{self._server.probes.serial}"
        if params.previous_result_id == state:
            return types.RelatedUnchangedDocumentDiagnosticReport(result_id=state)
        return types.RelatedFullDocumentDiagnosticReport(items=self.of(analysed, part), result_id=state)

    async def _analysed(self, uri: str) -> Analysed | None:
        analyses = self._server.analyses
        if not self._server.client.refreshes_diagnostics:
            try:
                return await asyncio.wait_for(analyses.complete(uri), SECONDS_TO_COMPLETE)
            except asyncio.TimeoutError:
                pass
        return await analyses.current(uri)

    def analysed(self, analysed: Analysed, edited: bool) -> None:
        """There is something new about a text; `edited` if the text itself is."""
        if not self._server.client.pulls_diagnostics:
            for part in analysed.source.parts:
                self._publish(analysed, part)
        elif not edited:
            self.refresh()

    def changed(self, uris: Iterable[str]) -> None:
        """The probe's findings in these files have changed."""
        if self._server.client.pulls_diagnostics:
            self.refresh()
            return
        for uri in uris:
            analysed = self._server.analyses.latest(uri)
            part = analysed.source.part_of(uri) if analysed else None
            if analysed is None or part is None:
                self.push(uri, self._server.probes.diagnostics(uri))
            elif analysed.source.revision == self._server.documents.revision(analysed.source.uri):
                self._publish(analysed, part)

    def closed(self, uri: str) -> None:
        if not self._server.client.pulls_diagnostics:
            self.push(uri, [])

    def _publish(self, analysed: Analysed, part: Part) -> None:
        self.push(part.uri, self.of(analysed, part), part.version)

    def push(self, uri: str, diagnostics: list[types.Diagnostic], version: int | None = None) -> None:
        """Publish what is known of a file; nothing, if it had nothing before and isn't open."""
        if version is None and not diagnostics and uri not in self._published:
            return
        if diagnostics or version is not None:
            self._published.add(uri)
        else:
            self._published.discard(uri)
        if not self._server.client.takes_versions:
            version = None
        self._server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, diagnostics, version))

    def refresh(self) -> None:
        """Have the client pull again; once for all that changes in one go."""
        if self._refresh_wanted or not self._server.client.refreshes_diagnostics:
            return
        self._refresh_wanted = True
        asyncio.get_running_loop().call_soon(self._refresh)

    def _refresh(self) -> None:
        self._refresh_wanted = False
        self._server.request(types.WORKSPACE_DIAGNOSTIC_REFRESH)

    def of(self, analysed: Analysed, part: Part) -> list[types.Diagnostic]:
        """Everything known about one document, the probe's findings included."""
        own = [
            self.diagnostic(analysed, finding)
            for finding in analysed.findings
            if analysed.source.part_at(finding.span.start) is part and not self._is_refuted(analysed, part, finding)
        ]
        return own + self._server.probes.diagnostics(part.uri)

    def _is_refuted(self, analysed: Analysed, part: Part, finding: Finding) -> bool:
        probes = self._server.probes
        return probes.has_reports and probes.refutes(part.uri, finding, self._lines(analysed, finding)[0])

    def _confirmed(self, analysed: Analysed, uri: str, finding: Finding) -> str | None:
        probes = self._server.probes
        return probes.confirms(uri, finding, self._lines(analysed, finding)[1]) if probes.has_reports else None

    def _lines(self, analysed: Analysed, finding: Finding) -> tuple[int, frozenset[int]]:
        """The 1-based line of a finding, and with it those that take part in it."""
        spans = [finding.span, *(related.span for related in finding.related if related.path is None)]
        lines = [analysed.source.locate(span, self._server.client.encoding)[1].start.line + 1 for span in spans]
        return lines[0], frozenset(lines)

    def diagnostic(self, analysed: Analysed, finding: Finding) -> types.Diagnostic:
        """One finding as the client takes it."""
        from gradsense.rules.pages import page_url

        client = self._server.client
        uri, where = analysed.source.locate(finding.span, client.encoding)
        description = types.CodeDescription(page_url(finding.name)) if client.takes_code_description else None
        tags = [TAGS[tag] for tag in finding.tags if TAGS[tag] in client.takes_tags]
        related = [self._related(analysed, related) for related in finding.related]
        confirmed = self._confirmed(analysed, uri, finding)
        return types.Diagnostic(
            range=where,
            message=f"{finding.message} {confirmed}" if confirmed else finding.message,
            severity=SEVERITIES[finding.severity],
            code=finding.code,
            code_description=description,
            source=SOURCE,
            tags=sorted(tags) or None,
            related_information=[r for r in related if r] if client.takes_related_information else None,
            data=self._data(analysed, finding, uri),
        )

    def _related(self, analysed: Analysed, related: Related) -> types.DiagnosticRelatedInformation | None:
        encoding = self._server.client.encoding
        if related.path is None:
            uri, where = analysed.source.locate(related.span, encoding)
        else:
            lines = analysed.lines_of(related.path)
            if lines is None:
                return None
            uri = self._server.documents.uri_for_path(related.path) or uri_of(related.path)
            where = range_of(lines, related.span, encoding)
        return types.DiagnosticRelatedInformation(types.Location(uri, where), related.message)

    def _data(self, analysed: Analysed, finding: Finding, uri: str) -> dict[str, Any]:
        """What a later request for fixes needs: the fixes, the version that they are for, and how to find it
        again."""
        part = analysed.source.part_of(uri)
        return {
            "version": part.version if part else None,
            "key": finding.key,
            "name": finding.name,
            "fixes": [self._fix(analysed, fix) for fix in finding.fixes if fix.edits],
        }

    def _fix(self, analysed: Analysed, fix: Fix) -> dict[str, Any]:
        edits = []
        for edit in fix.edits:
            part, made = analysed.source.locate_edit(edit, self._server.client.encoding)
            edits.append({"uri": part.uri, "range": _plain(made.range), "newText": made.new_text})
        return {"title": fix.title, "safety": fix.safety.value, "edits": edits}


def _plain(where: types.Range) -> dict[str, dict[str, int]]:
    return {
        "start": {"line": where.start.line, "character": where.start.character},
        "end": {"line": where.end.line, "character": where.end.character},
    }
