"""A client to test the server with: one editor's capabilities, and waiting for what the server says."""

from __future__ import annotations

import asyncio
import json
import sys
import typing
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types
from lsprotocol.converters import get_converter
from pygls.protocol import default_converter
from pytest_lsp import LanguageClient, client_capabilities
from pytest_lsp.client import DEFAULT_CLIENT_FEATURES, register_lsp_features

from gradsense.lsp.trouble import TROUBLE_NOTIFICATION

SCRIPTED = (sys.executable, "-m", "tests.lsp.scripted_server")
REAL = (sys.executable, "-I", "-m", "gradsense", "server", "--stdio")

PATIENCE = 30.0
"""Seconds until a test gives up; nothing here takes long, but the machine may be busy."""

EXTENSION_OPTIONS = {"trusted": True, "interpreter": None, "probeDevice": None, "clientCommands": True}


def capabilities_of(editor: str) -> types.ClientCapabilities:
    """The capabilities of an editor: recorded ones of pytest-lsp, or of today's VS Code."""
    if editor != "vscode":
        return client_capabilities(editor)
    recorded = Path(__file__).with_name("clients") / "vscode_languageclient_v11.0.0.json"
    data = json.loads(recorded.read_text())["capabilities"]
    return get_converter().structure(data, types.ClientCapabilities)


class Editor:
    """A running server and what it has said."""

    def __init__(self, client: LanguageClient, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.result: types.InitializeResult
        self.published: dict[str, list[types.PublishDiagnosticsParams]] = {}
        self.counts: dict[str, int] = {}
        self.progress: list[tuple[int | str, dict[str, Any]]] = []
        self.messages: list[types.ShowMessageParams] = []
        self.logged: list[str] = []
        self.troubles: list[dict[str, Any]] = []
        self.registered: list[types.Registration] = []
        self.shown: list[types.ShowDocumentParams] = []
        self._news = asyncio.Condition()
        self._asked = 0

    # --- what the server says

    def features(self) -> dict[str, Callable[..., Any]]:
        """The client's side of the protocol."""

        def count(method: str) -> Callable[..., Any]:
            async def counted(params: Any) -> None:
                self.counts[method] = self.counts.get(method, 0) + 1
                await self._tell()

            return counted

        async def publish(params: types.PublishDiagnosticsParams) -> None:
            self.published.setdefault(params.uri, []).append(params)
            await self._tell()

        async def progress(params: Any) -> None:
            self.progress.append((params.token, params.value))
            await self._tell()

        async def message(params: types.ShowMessageParams) -> None:
            self.messages.append(params)
            await self._tell()

        async def log(params: types.LogMessageParams) -> None:
            self.logged.append(params.message)
            await self._tell()

        async def trouble(params: Any) -> None:
            self.troubles.append(params._asdict())
            await self._tell()

        async def register(params: types.RegistrationParams) -> None:
            self.registered += params.registrations
            await self._tell()

        async def show(params: types.ShowDocumentParams) -> types.ShowDocumentResult:
            self.shown.append(params)
            await self._tell()
            return types.ShowDocumentResult(True)

        return {
            **DEFAULT_CLIENT_FEATURES,
            types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS: publish,
            types.WORKSPACE_DIAGNOSTIC_REFRESH: count(types.WORKSPACE_DIAGNOSTIC_REFRESH),
            types.WORKSPACE_CODE_LENS_REFRESH: count(types.WORKSPACE_CODE_LENS_REFRESH),
            types.WORKSPACE_INLAY_HINT_REFRESH: count(types.WORKSPACE_INLAY_HINT_REFRESH),
            types.PROGRESS: progress,
            types.WINDOW_SHOW_MESSAGE: message,
            types.WINDOW_LOG_MESSAGE: log,
            types.CLIENT_REGISTER_CAPABILITY: register,
            TROUBLE_NOTIFICATION: trouble,
            types.WINDOW_SHOW_DOCUMENT: show,
        }

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for the server to have said something."""
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(holds), PATIENCE)

    @property
    def pulls(self) -> bool:
        return self.result.capabilities.diagnostic_provider is not None

    def last(self, uri: str) -> types.PublishDiagnosticsParams | None:
        return self.published[uri][-1] if uri in self.published else None

    async def diagnostics(
        self, uri: str, until: Callable[[Sequence[types.Diagnostic]], bool] = lambda _: True
    ) -> Sequence[types.Diagnostic]:
        """The diagnostics of a document, the way this editor gets them, once they are as awaited."""
        if not self.pulls:
            await self.until(lambda: (p := self.last(uri)) is not None and until(p.diagnostics))
            params = self.last(uri)
            assert params is not None
            return params.diagnostics
        while True:
            refreshed = self.counts.get(types.WORKSPACE_DIAGNOSTIC_REFRESH, 0)
            found = (await self.pull(uri)).items
            if until(found):
                return found
            await self.until(lambda seen=refreshed: self.counts.get(types.WORKSPACE_DIAGNOSTIC_REFRESH, 0) > seen)

    @property
    def _refreshes(self) -> int:
        return self.counts.get(types.WORKSPACE_DIAGNOSTIC_REFRESH, 0)

    async def pull(self, uri: str, previous: str | None = None) -> Any:
        return await self.ask(
            types.TEXT_DOCUMENT_DIAGNOSTIC,
            types.DocumentDiagnosticParams(types.TextDocumentIdentifier(uri), previous_result_id=previous),
        )

    async def ask(self, method: str, params: Any) -> Any:
        """Send a request; its result."""
        return await asyncio.wait_for(self.client.protocol.send_request_async(method, params), PATIENCE)

    async def ask_plain(self, method: str, params: Any) -> Any:
        """Send a request, and take the result as JSON.

        For our own methods, and for code actions: lsprotocol takes one with a command for a command.
        """
        self._asked += 1
        request = f"plain-{self._asked}"
        answer = self.client.protocol.send_request(method, params, msg_id=request)
        self.client.protocol._result_types[request] = PlainResult
        return await asyncio.wait_for(asyncio.wrap_future(answer), PATIENCE)

    # --- what the user does

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str, version: int = 1, language: str = "python") -> str:
        uri = self.uri(name)
        self.client.text_document_did_open(
            types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, language, version, text))
        )
        return uri

    def edit(self, uri: str, version: int, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(uri=uri, version=version),
                [
                    types.TextDocumentContentChangePartial(
                        types.Range(types.Position(*start), types.Position(*end)), text
                    )
                ],
            )
        )

    def close(self, uri: str) -> None:
        self.client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))

    async def actions(
        self,
        uri: str,
        diagnostics: Sequence[types.Diagnostic] = (),
        where: tuple[int, int] | None = None,
        only: Sequence[str] | None = None,
        *,
        resolve: bool = True,
    ) -> list[dict[str, Any]]:
        """The code actions for diagnostics, or at a place, as JSON: with their edits, unless `resolve` is False."""
        point = types.Position(*(where or (0, 0)))
        place = diagnostics[0].range if diagnostics else types.Range(point, point)
        context = types.CodeActionContext(list(diagnostics), only)
        params = types.CodeActionParams(types.TextDocumentIdentifier(uri), place, context)
        found = await self.ask_plain(types.TEXT_DOCUMENT_CODE_ACTION, params) or []
        return [await self.resolved(action) for action in found] if resolve else found

    async def resolved(self, action: dict[str, Any]) -> dict[str, Any]:
        """An action as it is when it is chosen."""
        if "data" not in action or "edit" in action:
            return action
        params = types.CodeAction(action["title"], kind=action["kind"], data=action["data"])
        return {**action, **await self.ask_plain(types.CODE_ACTION_RESOLVE, params)}

    async def hover(self, uri: str, line: int, character: int) -> types.Hover | None:
        place = types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(line, character))
        return await self.ask(types.TEXT_DOCUMENT_HOVER, place)

    async def links(self, uri: str) -> Sequence[types.DocumentLink]:
        params = types.DocumentLinkParams(types.TextDocumentIdentifier(uri))
        return await self.ask(types.TEXT_DOCUMENT_DOCUMENT_LINK, params) or []

    async def completions(self, uri: str, line: int, character: int) -> list[types.CompletionItem]:
        """What is offered at a place, in the order in which it is shown."""
        place = types.CompletionParams(types.TextDocumentIdentifier(uri), types.Position(line, character))
        found = await self.ask(types.TEXT_DOCUMENT_COMPLETION, place) or []
        return sorted(found, key=lambda item: item.sort_text or item.label)

    async def lenses(self, uri: str) -> Sequence[types.CodeLens]:
        return (
            await self.ask(types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensParams(types.TextDocumentIdentifier(uri))) or []
        )


class PlainResult:
    """A response whose result stays as it came."""

    def __init__(self, id: int | str, result: Any) -> None:
        self.id = id
        self.jsonrpc = "2.0"
        self.result = result


@asynccontextmanager
async def editor(
    profile: str,
    folder: Path,
    options: dict[str, Any] | None = None,
    command: Sequence[str] = SCRIPTED,
    adapt: Callable[[types.ClientCapabilities], None] = lambda capabilities: None,
    folders: Sequence[Path] = (),
) -> AsyncIterator[Editor]:
    """A session of an editor with a server, from `initialize` to `exit`; `folders` are open besides `folder`."""
    client = LanguageClient(converter_factory=_converter)
    running = Editor(client, folder)
    register_lsp_features(client, running.features())
    await client.start_io(*command)
    capabilities = capabilities_of(profile)
    adapt(capabilities)
    params = types.InitializeParams(
        capabilities=capabilities,
        root_uri=folder.as_uri(),
        workspace_folders=[types.WorkspaceFolder(each.as_uri(), each.name) for each in (folder, *folders)],
        initialization_options=options,
    )
    running.result = await asyncio.wait_for(client.initialize_session(params), PATIENCE)
    try:
        yield running
    finally:
        await asyncio.wait_for(client.shutdown_session(), PATIENCE)
        await client.stop()


def _converter() -> Any:
    converter = default_converter()
    # lsprotocol can't read a notebook selector that names no notebook.
    fields = typing.get_type_hints(types.NotebookDocumentFilterWithCells)
    converter.register_structure_hook(fields["notebook"], lambda data, _: data)
    converter.register_structure_hook(PlainResult, lambda data, _: PlainResult(data["id"], data.get("result")))
    return converter
