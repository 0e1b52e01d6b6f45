"""Diagnostics: pulled by clients that can, pushed to the others, never both.

The rules' findings and the probe's travel the same way. A client that pulls is asked to do so again when
something changes that is no edit of its own: the answer to a question, another file, a probe. One that pulls but
can't be asked (Neovim 0.11) would go on showing what no longer holds: it gets them pushed.

Files that are not open are told of where the user wants it. A client that pulls asks for them once, and the request is
held as long as the session lasts: each result is sent as a part of the answer. To a client that takes no parts the
answer is what is known when all files have been looked at.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from gradsense.findings import Finding, Fix, Related
from gradsense.lsp.analyses import Analysed
from gradsense.lsp.convert import SEVERITIES, TAGS, is_within, range_of, uri_of
from gradsense.lsp.documents import Part
from gradsense.lsp.half_typed import SECONDS, HalfTyped

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

SOURCE = "gradsense"


class Diagnostics:
    """`textDocument/diagnostic` and `textDocument/publishDiagnostics`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._published: set[str] = set()
        self._refresh_wanted = False
        self._session = secrets.token_hex(4)
        """Tells the results of this process from those of one before, which a client may still name."""
        self._probed = Counter[str]()
        """How often the probe's findings in a document have changed."""
        self._pulled: set[str] = set()
        """The open documents that the client has findings of."""
        self._cells: dict[str, dict[str, tuple[int | None, list[object]]]] = {}
        """By open notebook, its cells' versions with what was found in each."""
        self._turn = asyncio.Lock()
        """Of the pull that is answered."""
        self._half_typed = HalfTyped()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """By text that is half typed, until it counts as meant so."""
        self._pulls: list[_WorkspacePull] = []
        """The requests for findings in files that are not open, as long as they are held."""

    def register(self) -> None:
        self._server.handle(types.TEXT_DOCUMENT_DIAGNOSTIC, self.pull)
        self._server.handle(types.WORKSPACE_DIAGNOSTIC, self.pull_workspace)

    @property
    def options(self) -> types.DiagnosticOptions | None:
        """What the answer to `initialize` offers; None: this client gets them pushed."""
        if not self._server.client.pulls_diagnostics:
            return None
        all_files = self._server.client.wants_all_files
        return types.DiagnosticOptions(identifier=SOURCE, inter_file_dependencies=True, workspace_diagnostics=all_files)

    # --- pulled

    async def pull(self, params: types.DocumentDiagnosticParams) -> types.DocumentDiagnosticReport:
        uri = params.text_document.uri
        await self._server.analyses.current(uri)
        # One at a time, and each is on its way before the next is made.
        async with self._turn:
            await asyncio.sleep(0)
            await self._server.heard()
            return self._report(uri, await self._server.analyses.current(uri), params.previous_result_id)

    def _report(self, uri: str, analysed: Analysed | None, known: str | None) -> types.DocumentDiagnosticReport:
        part = analysed.source.part_of(uri) if analysed else None
        if analysed is None or part is None:
            self._pulled.discard(uri)
            return types.RelatedFullDocumentDiagnosticReport(items=[])
        self._pulled.add(uri)
        state = self._state(analysed, uri)
        if known == state:
            return types.RelatedUnchangedDocumentDiagnosticReport(result_id=state)
        return types.RelatedFullDocumentDiagnosticReport(self.of(analysed, part), result_id=state)

    def _state(self, analysed: Analysed, uri: str) -> str:
        """The name of what is known of a document."""
        held = "h" if len(self._findings(analysed)) < len(analysed.findings) else ""
        return f"{self._session}.{analysed.serial}.{self._probed[uri]}{held}"

    async def pull_workspace(self, params: types.WorkspaceDiagnosticParams) -> types.WorkspaceDiagnosticReport:
        if not self._server.client.wants_all_files:
            return types.WorkspaceDiagnosticReport([])
        token = params.partial_result_token
        pull = _WorkspacePull({each.uri: each.value for each in params.previous_result_ids})
        self._pulls.append(pull)
        try:
            await self._server.files.found()
            for uri in (*pull.known, *self._server.analyses.closed.uris()):
                pull.add(uri)
            while token is not None:
                reports = self._news(pull)
                if reports:
                    value = types.WorkspaceDiagnosticReportPartialResult(reports)
                    self._server.protocol.notify(types.PROGRESS, types.ProgressParams(token, value))
                await pull.wait()
            await self._server.files.looked_at()
            unchanged = dict(pull.known)
            reports = self._news(pull)
            unchanged = {uri: state for uri, state in unchanged.items() if pull.known.get(uri) == state}
            return types.WorkspaceDiagnosticReport(
                [*reports, *(types.WorkspaceUnchangedDocumentDiagnosticReport(u, s) for u, s in unchanged.items())]
            )
        finally:
            self._pulls.remove(pull)

    def _news(self, pull: _WorkspacePull) -> list[types.WorkspaceDocumentDiagnosticReport]:
        """The files whose findings the client doesn't know, each with them. Of an open one it pulls the document's."""
        reports: list[types.WorkspaceDocumentDiagnosticReport] = []
        analyses = self._server.analyses
        for uri in pull.take():
            analysed = analyses.latest(uri) if uri in analyses.closed else None
            if analysed is None:
                is_open = self._server.documents.get(uri) is not None
                if not is_open and uri not in analyses.closed and pull.known.pop(uri, None) is not None:
                    reports.append(types.WorkspaceFullDocumentDiagnosticReport(uri, []))
                continue
            if any(part.version is not None for part in analysed.source.parts):
                continue  # Closed, and not looked at since.
            state = self._state(analysed, uri)
            items = self._of_file(analysed) if pull.known.get(uri) != state else []
            if items or (uri in pull.known and pull.known[uri] != state):
                reports.append(types.WorkspaceFullDocumentDiagnosticReport(uri, items, result_id=state))
                pull.known[uri] = state
        return reports

    def file_looked_at(self, uri: str) -> None:
        """A file that is not open was analysed, or is gone."""
        if self._server.client.pulls_diagnostics:
            for pull in self._pulls:
                pull.add(uri)
        elif uri not in self._server.analyses.closed and self._server.documents.get(uri) is None:
            self.push(uri, self._server.probes.diagnostics(uri))

    def analysed(self, analysed: Analysed, edited: bool) -> None:
        """There is something new about a text; `edited` if the text itself is."""
        is_closed = analysed.source.uri in self._server.analyses.closed
        self._wait_until_meant(analysed)
        if not self._server.client.pulls_diagnostics:
            if is_closed:
                self.push(analysed.source.uri, self._of_file(analysed))
            else:
                for part in analysed.source.parts:
                    self._publish(analysed, part)
        elif not is_closed and (self._changes_other_cells(analysed) or not edited):
            self.refresh()

    def _changes_other_cells(self, analysed: Analysed) -> bool:
        """Whether something is new about cells of a notebook that were not edited: clients don't ask for those."""
        source = analysed.source
        if not source.is_notebook:
            return False
        found: dict[str, list[object]] = {part.uri: [] for part in source.parts}
        for each in analysed.findings:
            part = source.part_at(each.span.start)
            found[part.uri].append((each.code, each.key, each.severity, each.message, each.span.start - part.start))
        now = {part.uri: (part.version, found[part.uri]) for part in source.parts}
        before = self._cells.get(source.uri, {})
        self._cells[source.uri] = now
        return any(before[uri] != now[uri] for uri in now if uri in before and before[uri][0] == now[uri][0])

    def _findings(self, analysed: Analysed) -> Sequence[Finding]:
        """The findings that may be told: all of a file that is not open."""
        if analysed.source.uri in self._server.analyses.closed:
            return analysed.findings
        return self._half_typed.told(analysed.source, analysed.findings)

    def _wait_until_meant(self, analysed: Analysed) -> None:
        """Tell what is held back while its line is typed as soon as nobody types."""
        unit, revision = analysed.source.uri, analysed.source.revision
        timer = self._timers.pop(unit, None)
        if timer is not None:
            timer.cancel()
        if len(self._findings(analysed)) < len(analysed.findings):
            loop = asyncio.get_running_loop()
            self._timers[unit] = loop.call_later(SECONDS, self._meant, unit, revision)

    def saved(self, uri: str) -> None:
        """A text was saved: it is meant so."""
        unit = self._server.documents.unit_of(uri)
        self._meant(unit, self._server.documents.revision(unit))

    def _meant(self, unit: str, revision: int) -> None:
        timer = self._timers.pop(unit, None)
        self._half_typed.meant(unit, revision)
        if timer is None:
            return
        timer.cancel()
        analysed = self._server.analyses.latest(unit)
        if analysed is not None and self._server.analyses.is_current(analysed):
            self.analysed(analysed, edited=False)

    def changed(self, uris: Iterable[str]) -> None:
        """The probe's findings in these files have changed."""
        uris = list(uris)
        self._probed.update(uris)
        if self._server.client.pulls_diagnostics:
            self.refresh()
            for uri in uris:
                self.file_looked_at(uri)
            return
        for uri in uris:
            analysed = self._server.analyses.latest(uri)
            part = analysed.source.part_of(uri) if analysed else None
            if analysed is None or part is None:
                self.push(uri, self._server.probes.diagnostics(uri))
            elif self._server.analyses.is_current(analysed):
                self._publish(analysed, part)

    def closed(self, uri: str) -> None:
        """A document is no longer open; of a file that is looked at nevertheless, what is on disk counts now."""
        self._cells.pop(uri, None)
        self._half_typed.closed(uri)
        if (timer := self._timers.pop(uri, None)) is not None:
            timer.cancel()
        was_pulled = uri in self._pulled
        self._pulled.discard(uri)
        is_followed = uri in self._server.analyses.closed
        if not self._server.client.pulls_diagnostics:
            if not is_followed:
                self.push(uri, [])
        elif was_pulled:
            for pull in self._pulls:
                # The client shows what it has pulled last, perhaps of a text that was never saved.
                pull.known[uri] = ""
                if not is_followed:
                    pull.add(uri)

    def gone(self, uri: str) -> None:
        """A file, or a folder with all its files, is no longer there."""
        for published in list(self._published):
            if is_within(published, uri) and self._server.documents.get(published) is None:
                self.push(published, [])

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
        if not self._refresh_wanted:
            self._refresh_wanted = True
            asyncio.get_running_loop().call_soon(self._refresh)

    def _refresh(self) -> None:
        self._refresh_wanted = False
        self._server.request(types.WORKSPACE_DIAGNOSTIC_REFRESH)

    def of(self, analysed: Analysed, part: Part) -> list[types.Diagnostic]:
        """Everything known about one document, the probe's findings included."""
        own = [
            self.diagnostic(analysed, finding)
            for finding in self._findings(analysed)
            if analysed.source.part_at(finding.span.start) is part and not self._is_refuted(analysed, part, finding)
        ]
        return own + self._server.probes.diagnostics(part.uri)

    def _of_file(self, analysed: Analysed) -> list[types.Diagnostic]:
        """The same of a file that is not open. A closed notebook's cells are no documents, and the lines of its file
        are JSON: so the message tells the place."""
        notebook = analysed.source.notebook
        if notebook is None:
            return self.of(analysed, analysed.source.parts[0])
        told: list[types.Diagnostic] = []
        for finding in analysed.findings:
            diagnostic = self.diagnostic(analysed, finding)
            place = notebook.position(finding.span.start)
            diagnostic.message = f"Cell {place.cell + 1}, line {place.line + 1}: {diagnostic.message}"
            diagnostic.range = types.Range(types.Position(0, 0), types.Position(0, 0))
            diagnostic.related_information = diagnostic.data = None
            told.append(diagnostic)
        return told

    def _is_refuted(self, analysed: Analysed, part: Part, finding: Finding) -> bool:
        probes = self._server.probes
        return probes.has_reports and probes.refutes(part.uri, finding, self._lines(analysed, finding)[0])

    def _confirmed(self, analysed: Analysed, uri: str, finding: Finding) -> str | None:
        probes = self._server.probes
        return probes.confirms(uri, finding, self._lines(analysed, finding)[1]) if probes.has_reports else None

    def _lines(self, analysed: Analysed, finding: Finding) -> tuple[int, frozenset[int]]:
        """The 1-based line of a finding, and with it those of its document that take part in it."""
        uri, where = analysed.source.locate(finding.span, self._server.client.encoding)
        lines = {where.start.line + 1}
        for related in finding.related:
            if related.path is None:
                other, at = analysed.source.locate(related.span, self._server.client.encoding)
                lines |= {at.start.line + 1} if other == uri else set()
        return where.start.line + 1, frozenset(lines)

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


class _WorkspacePull:
    """A request for findings in files that are not open: what its client knows, and what may be news to it."""

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known
        self.changed: dict[str, None] = {}
        self._news = asyncio.Event()

    def add(self, uri: str) -> None:
        self.changed[uri] = None
        self._news.set()

    def take(self) -> list[str]:
        """What may be news, once."""
        taken = list(self.changed)
        self.changed.clear()
        self._news.clear()
        return taken

    async def wait(self) -> None:
        """Wait for news."""
        await self._news.wait()


def _plain(where: types.Range) -> dict[str, dict[str, int]]:
    return {
        "start": {"line": where.start.line, "character": where.start.character},
        "end": {"line": where.end.line, "character": where.end.character},
    }
