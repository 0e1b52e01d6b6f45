"""Configuration files: read again when they change, with what is wrong in them told at its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.lsp.analyses import Analysed
from gradsense.lsp.convert import uri_of
from gradsense.lsp.diagnostics import SOURCE

if TYPE_CHECKING:
    from gradsense.config import ConfigProblem
    from gradsense.lsp.language_server import Server

WATCHED = (
    "**/*.py",
    "**/{pyproject.toml,setup.cfg,uv.lock,poetry.lock,pdm.lock,Pipfile.lock,environment.yml,environment.yaml}",
    "**/requirements*.txt",
    "**/pyvenv.cfg",
)


class Configuration:
    """`workspace/didChangeWatchedFiles`, and the diagnostics of `pyproject.toml`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._told: dict[str, list[types.Diagnostic]] = {}

    def register(self) -> None:
        self._server.handle(types.WORKSPACE_DID_CHANGE_WATCHED_FILES, self.files_changed)

    def watch_files(self) -> None:
        """Ask the client to tell when files change that documents depend on."""
        if not self._server.client.watches_files:
            return
        watchers = [types.FileSystemWatcher(pattern) for pattern in WATCHED]
        options = types.DidChangeWatchedFilesRegistrationOptions(watchers)
        registration = types.Registration("gradsense-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
        self._server.request(types.CLIENT_REGISTER_CAPABILITY, types.RegistrationParams([registration]))

    async def files_changed(self, params: types.DidChangeWatchedFilesParams) -> None:
        await self._server.engine_imported()
        self._server.files.watched(params.changes)
        changed = [change for change in params.changes if self._server.documents.get(change.uri) is None]
        anew = any(not change.uri.endswith(".py") for change in changed)
        if anew:
            self._server.session.reload()
        if changed:
            self._server.analyses.touch_all(anew)

    def analysed(self, analysed: Analysed, edited: bool) -> None:
        """Tell what is wrong with the configuration that an analysis ran under."""
        configuration = self._server.session.configuration_for(analysed.snapshot.path)
        if configuration.path is None:
            return
        path = str(configuration.path)
        diagnostics = [_diagnostic(problem, configuration.text) for problem in configuration.problems]
        if diagnostics != self._told.get(path, []):
            self._told[path] = diagnostics
            # No client pulls for this file: it isn't Python.
            self._server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri_of(path), diagnostics))


def _text(path: Path) -> str:
    from gradsense.workspace.files import UnreadableFile, read_bytes

    try:
        return read_bytes(path).decode("utf-8", "replace")
    except UnreadableFile:
        return ""


def _diagnostic(problem: ConfigProblem, text: str) -> types.Diagnostic:
    line, start, end = _place(problem.key, text)
    return types.Diagnostic(
        range=types.Range(types.Position(line, start), types.Position(line, end)),
        message=problem.message,
        severity=types.DiagnosticSeverity.Warning,
        source=SOURCE,
    )


def _place(key: tuple[str, ...], text: str) -> tuple[int, int, int]:
    """The line and columns of a key below `[tool.gradsense]`; TOML's parser keeps none.

    Each name of the key is looked for below the one before it. Where one isn't found, the last that was, is
    it.
    """
    found = (0, 0, 0)
    below = 0
    lines = re.split(r"\r\n|\n", text)
    for name in ("gradsense", *key):
        word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
        for number in range(below, len(lines)):
            match = word.search(lines[number])
            if match and not lines[number].lstrip().startswith("#"):
                found, below = (number, *match.span()), number
                break
    return found
