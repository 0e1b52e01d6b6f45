"""Configuration files: read again when they change, on disk or in the editor, with what is wrong in them told at its
place.

What an editor has in one that is open counts as soon as it is TOML; while it isn't, what it was before does. So a
setting shows its effect while it is written, and half a line of it none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.config import FILES
from gradsense.findings import Edit, Span
from gradsense.lsp.analyses import Analysed
from gradsense.lsp.config_document import ConfigDocument, is_configuration
from gradsense.lsp.convert import is_file, path_of, range_of, uri_of
from gradsense.lsp.diagnostics import SOURCE

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server
    from gradsense.workspace.configuration_file import ConfigurationFile

WATCHED = (
    "**/*.py",
    "**/{pyproject.toml,gradsense.toml,setup.cfg,uv.lock,poetry.lock,pdm.lock,Pipfile.lock}",
    "**/environment.{yml,yaml}",
    "**/requirements*.txt",
    "**/pyvenv.cfg",
)
NOTEBOOKS = "**/*.ipynb"
PROGRAMS = (".py", ".ipynb")


class Configuration:
    """`workspace/didChangeWatchedFiles`, and the diagnostics of configuration files."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._told: dict[str, list[types.Diagnostic]] = {}
        """By URI, what the client was told last."""
        self._edited: set[str] = set()
        """The files whose newest text hasn't been looked at."""
        self._valid: dict[str, str] = {}
        """By URI, the last text of each open file that was TOML."""

    def register(self) -> None:
        self._server.handle(types.WORKSPACE_DID_CHANGE_WATCHED_FILES, self.files_changed)

    def watch_files(self) -> None:
        """Ask the client to tell when files change that documents depend on."""
        if not self._server.client.watches_files:
            return
        patterns = (*WATCHED, NOTEBOOKS) if self._server.client.wants_all_files else WATCHED
        watchers = [types.FileSystemWatcher(pattern) for pattern in patterns]
        options = types.DidChangeWatchedFilesRegistrationOptions(watchers)
        registration = types.Registration("gradsense-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
        self._server.request(types.CLIENT_REGISTER_CAPABILITY, types.RegistrationParams([registration]))

    async def files_changed(self, params: types.DidChangeWatchedFilesParams) -> None:
        await self._server.engine_imported()
        self._server.files.watched(params.changes)
        # Of a program that is open, the editor's text counts; other files also say which versions are installed.
        is_open = self._server.documents.is_open
        changed = [c for c in params.changes if not c.uri.endswith(PROGRAMS) or not is_open(path_of(c.uri))]
        anew = any(not change.uri.endswith(PROGRAMS) for change in changed)
        if anew:
            self._server.session.reload()
            self._tell_again()
        if changed:
            self._server.analyses.touch_all(anew)

    def read_again(self) -> bool:
        """Take up what is on disk, for a client that doesn't tell what changes; whether findings depend on it."""
        changed = self._server.session.read_configurations_again()
        self._tell_again()
        return changed

    def _tell_again(self) -> None:
        """What is wrong with configurations may be different without any other finding being so."""
        analyses, documents = self._server.analyses, self._server.documents
        results = [analyses.latest(unit) for unit in (*documents.units(), *analyses.closed.uris())]
        known = [analysed for analysed in results if analysed is not None]
        in_use = {self._server.session.configuration_for(analysed.snapshot.path).path for analysed in known}
        for uri in self._told:
            if not self.is_open(uri) and Path(path_of(uri)) not in in_use:
                self._tell(uri, [])
        for analysed in known:
            self.analysed(analysed, False)

    def is_open(self, uri: str) -> bool:
        """Whether a document is a configuration file that the client has open."""
        return is_configuration(uri) and self._server.documents.get(uri) is not None

    def changed(self, uri: str) -> None:
        """A document was opened, edited or closed."""
        if not is_configuration(uri) or not is_file(uri):
            return
        if uri not in self._edited:
            self._edited.add(uri)
            self._server.start(self._take(uri))

    async def _take(self, uri: str) -> None:
        """Take up the newest text of a configuration file."""
        await self._server.engine_imported()
        self._edited.discard(uri)
        document = self._server.documents.get(uri)
        path = Path(path_of(uri))
        session = self._server.session
        if document is None:
            if self._valid.pop(uri, None) is not None and session.edit_configuration(path, None):
                self._server.analyses.touch_all(anew=True)
            self._tell(uri, [])
            return
        file = self.read(uri, document.text)
        if file is None or file.broken is None:
            self._valid[uri] = document.text
            if session.edit_configuration(path, document.text):
                self._server.analyses.touch_all(anew=True)
        self._tell(uri, self.diagnostics(uri, file), document.version)

    def resume(self) -> None:
        """The session is a new one."""
        for uri, text in self._valid.items():
            self._server.session.edit_configuration(path_of(uri), text)

    def read(self, uri: str, text: str) -> ConfigurationFile | None:
        """What a configuration file with this text says; None if it says nothing of GradSense."""
        from gradsense.workspace.configuration_file import read_configuration_text

        return read_configuration_text(Path(path_of(uri)), text, self._server.session.rules())

    def analysed(self, analysed: Analysed, edited: bool) -> None:
        """Tell what is wrong with the configuration that an analysis ran under."""
        file = self._server.session.configuration_for(analysed.snapshot.path)
        if file.path is None:
            return
        uri = uri_of(str(file.path))
        if self._server.documents.get(uri) is None:
            self._tell(uri, self.diagnostics(uri, file))

    def _tell(self, uri: str, diagnostics: list[types.Diagnostic], version: int | None = None) -> None:
        if diagnostics == self._told.get(uri, []):
            return
        self._told[uri] = diagnostics
        version = version if self._server.client.takes_versions else None
        # Pushed to all: a client that pulls gets nothing for this file then, and one that isn't open nobody pulls.
        self._server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, diagnostics, version))

    def diagnostics(self, uri: str, file: ConfigurationFile | None) -> list[types.Diagnostic]:
        """What is wrong with a configuration, at its places."""
        if file is None:
            return []
        document = ConfigDocument.of(uri, file.text)
        encoding = self._server.client.encoding
        found = [(document.place_of(problem), problem.message) for problem in file.problems]
        if file.broken is not None:
            if file.text and "gradsense" not in uri + file.text:
                return []  # A mistake in what is none of our business.
            reason, line, column = file.broken
            span = Span(document.lines.offset(line, column), document.lines.line_span(line).end)
            kept = f"This is no TOML: {reason}. Until it is, GradSense goes by what the file said before."
            found = [(span, kept if self.is_open(uri) else message) for _, message in found]
        return [
            types.Diagnostic(
                range=range_of(document.lines, span, encoding),
                message=message,
                severity=types.DiagnosticSeverity.Warning,
                source=SOURCE,
            )
            for span, message in found
        ]

    def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """What may be done about the problems of an open configuration file: the word that was meant, in place."""
        uri = params.text_document.uri
        text = self._server.documents[uri].text
        file = self.read(uri, text)
        if file is None or file.broken is not None:
            return []
        document = ConfigDocument.of(uri, text)
        found = []
        for diagnostic, problem in zip(self.diagnostics(uri, file), file.problems, strict=True):
            if problem.meant is None or not _touch(diagnostic.range, params.range):
                continue
            span = document.place_of(problem)
            title = f"Change `{text[slice(*span)]}` to `{problem.meant}`"
            edit = self.edit(uri, document, [Edit(span, problem.meant)])
            kind = types.CodeActionKind.QuickFix
            found.append(types.CodeAction(title, kind, diagnostics=[diagnostic], is_preferred=True, edit=edit))
        return found

    def edit(self, uri: str, document: ConfigDocument, edits: list[Edit]) -> types.WorkspaceEdit:
        """Edits of a configuration file as the client takes them."""
        encoding = self._server.client.encoding
        changes = [types.TextEdit(range_of(document.lines, span, encoding), text) for span, text in edits]
        if not self._server.client.takes_document_changes:
            return types.WorkspaceEdit(changes={uri: changes})
        open_document = self._server.documents.get(uri)
        version = open_document.version if open_document is not None else None
        identifier = types.OptionalVersionedTextDocumentIdentifier(uri=uri, version=version)
        return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(identifier, list(changes))])

    def ignoring(self, path: str, name: str) -> types.WorkspaceEdit | None:
        """The edit that has the configuration of the program at `path` ignore a rule; None if it can't.

        Where a project has none, one is made, for clients that make files.
        """
        from gradsense.lsp.config_edits import ignore_rule
        from gradsense.workspace.configuration_file import text_of

        session = self._server.session
        root = session.root_of(path)
        chosen = session.configuration_for(path).path or session.project_file_for(path)
        if chosen is None:
            return self._made(uri_of(str(root / next(iter(FILES)))), name) if root in session.roots else None
        uri = self._server.documents.uri_for_path(str(chosen)) or uri_of(str(chosen))
        opened = self._server.documents.get(uri)
        text = opened.text if opened is not None else text_of(chosen)
        if text is None or ((read := self.read(uri, text)) is not None and read.broken is not None):
            return None
        document = ConfigDocument.of(uri, text)
        edits = ignore_rule(document, name)
        return self.edit(uri, document, edits) if edits else None

    def _made(self, uri: str, name: str) -> types.WorkspaceEdit | None:
        from gradsense.lsp.config_edits import ignore_rule

        if not self._server.client.creates_files:
            return None
        document = ConfigDocument.of(uri, "")
        change = self.edit(uri, document, ignore_rule(document, name))
        create = types.CreateFile(uri, options=types.CreateFileOptions(ignore_if_exists=True))
        change.document_changes = [create, *(change.document_changes or ())]
        return change


def _touch(one: types.Range, other: types.Range) -> bool:
    return one.start <= other.end and other.start <= one.end
