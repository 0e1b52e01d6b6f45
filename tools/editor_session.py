"""A small editor: one LSP session with the server over its standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from gradsense.source.lines import LineIndex

PATIENCE = 30.0
"""Seconds to wait for the server; it needs far less, but the machine may be busy."""

AFTERTHOUGHT = 5.0
"""Seconds for what a server says later of the same text, when it has learned what lies outside the file."""

Published = Callable[[list[types.Diagnostic]], bool]


class EditorSession:
    """Documents that are open in the server, and what it publishes about them."""

    def __init__(self, client: LanguageClient) -> None:
        self._client = client
        self._diagnostics: dict[str, list[types.Diagnostic]] = {}
        self._versions: dict[str, int] = {}
        self._news = asyncio.Condition()

        @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        async def publish(params: types.PublishDiagnosticsParams) -> None:
            await self._published(params)

        for ignored in (types.WINDOW_LOG_MESSAGE, types.WINDOW_SHOW_MESSAGE, types.PROGRESS):
            client.feature(ignored)(lambda params: None)
        client.feature(types.CLIENT_REGISTER_CAPABILITY)(lambda params: None)
        client.feature(types.WINDOW_WORK_DONE_PROGRESS_CREATE)(lambda params: None)

    async def _published(self, params: types.PublishDiagnosticsParams) -> None:
        async with self._news:
            self._diagnostics[params.uri] = list(params.diagnostics)
            self._versions[params.uri] = params.version or 0
            self._news.notify_all()

    async def open(self, path: Path, text: str) -> None:
        """Open a document."""
        document = types.TextDocumentItem(path.as_uri(), types.LanguageKind.Python, 1, text)
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(document))

    async def change(self, path: Path, version: int, text: str) -> None:
        """Replace a document's text."""
        document = types.VersionedTextDocumentIdentifier(version=version, uri=path.as_uri())
        change = types.TextDocumentContentChangeWholeDocument(text)
        self._client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    async def diagnostics(self, path: Path, version: int, until: Published) -> list[types.Diagnostic]:
        """What is published of a version, once it is as expected; after some patience, whatever it is."""

        async def news(expected: Published) -> None:
            async with self._news:
                await self._news.wait_for(
                    lambda: (found := self.current(path, version)) is not None and expected(found)
                )

        try:
            await asyncio.wait_for(news(lambda found: True), PATIENCE)
        except asyncio.TimeoutError:
            raise TimeoutError(f"The server said nothing of {path.name} for {PATIENCE:g} s.") from None
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(news(until), AFTERTHOUGHT)
        return self.current(path, version) or []

    def current(self, path: Path, version: int) -> list[types.Diagnostic] | None:
        """What is published now of a version or a later one, if anything."""
        uri = path.as_uri()
        found = self._diagnostics.get(uri)
        return found if found is not None and self._versions[uri] >= version else None

    async def preferred_fix(self, path: Path, diagnostic: types.Diagnostic) -> types.CodeAction | None:
        """The first fix that the light bulb offers for a diagnostic, its edit filled in."""
        params = types.CodeActionParams(
            types.TextDocumentIdentifier(path.as_uri()),
            diagnostic.range,
            types.CodeActionContext([diagnostic], only=[types.CodeActionKind.QuickFix]),
        )
        actions = await self._client.text_document_code_action_async(params) or []
        fixes = [action for action in actions if isinstance(action, types.CodeAction) and action.is_preferred]
        if not fixes:
            return None
        return fixes[0] if fixes[0].edit else await self._client.code_action_resolve_async(fixes[0])

    async def probe(self, path: Path, target: str) -> Any:
        """Run the probe on a class: `ok`, `summary`, `text`, `report`, `error`."""
        params = {"uri": path.as_uri(), "target": target, "position": None}
        return await self._client.protocol.send_request_async("gradsense/probe", params)


@asynccontextmanager
async def editor_session(folder: Path) -> AsyncIterator[EditorSession]:
    """A session on a folder, trusted, shut down at the end."""
    client = LanguageClient("gradsense-demo", "1")
    session = EditorSession(client)
    await client.start_io(sys.executable, "-I", "-m", "gradsense", "server", "--stdio")
    await client.initialize_async(
        types.InitializeParams(
            capabilities=_capabilities(),
            workspace_folders=[types.WorkspaceFolder(folder.as_uri(), folder.name)],
            initialization_options={"trusted": True, "clientCommands": True},
        )
    )
    client.initialized(types.InitializedParams())
    try:
        yield session
    finally:
        with contextlib.suppress(RuntimeError):  # it may have stopped by itself: what was asked last tells
            await client.shutdown_async(None)
            client.exit(None)
        await client.stop()


def _capabilities() -> types.ClientCapabilities:
    return types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind.Utf32]),
        text_document=types.TextDocumentClientCapabilities(
            publish_diagnostics=types.PublishDiagnosticsClientCapabilities(
                related_information=True,
                version_support=True,
                code_description_support=True,
                data_support=True,
            ),
            code_action=types.CodeActionClientCapabilities(
                is_preferred_support=True,
                data_support=True,
                resolve_support=types.ClientCodeActionResolveOptions(properties=["edit"]),
                code_action_literal_support=types.ClientCodeActionLiteralOptions(
                    code_action_kind=types.ClientCodeActionKindOptions(value_set=[types.CodeActionKind.QuickFix])
                ),
            ),
        ),
        window=types.WindowClientCapabilities(work_done_progress=True),
        workspace=types.WorkspaceClientCapabilities(
            workspace_edit=types.WorkspaceEditClientCapabilities(document_changes=True)
        ),
    )


def edited(text: str, path: Path, edit: types.WorkspaceEdit) -> str:
    """A document's text after a workspace edit; columns are code points, as the session has asked for."""
    edits: list[types.TextEdit] = []
    for change in edit.document_changes or ():
        if isinstance(change, types.TextDocumentEdit) and change.text_document.uri == path.as_uri():
            edits += [it for it in change.edits if isinstance(it, types.TextEdit)]
    edits += (edit.changes or {}).get(path.as_uri(), ())
    lines = LineIndex(text)

    def offset(position: types.Position) -> int:
        return lines.offset(position.line, position.character)

    for it in sorted(edits, key=lambda it: offset(it.range.start), reverse=True):
        text = text[: offset(it.range.start)] + it.new_text + text[offset(it.range.end) :]
    return text
