"""The server: what there is for one client, from `initialize` to `exit`.

pygls carries the messages; its workspace, its handling of `shutdown`, `exit` and commands, and its way of
reporting errors are replaced here, each for a reason given at the place.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.capabilities import ServerCapabilitiesBuilder
from pygls.exceptions import FeatureRequestError, JsonRpcException, PyglsError
from pygls.lsp.server import LanguageServer
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, LanguageServerProtocol, lsp_method

from gradsense import __version__
from gradsense.collector import relax_collector, tidy_up
from gradsense.lsp import parent
from gradsense.lsp.actions import Actions
from gradsense.lsp.analyses import Analysed, Analyses
from gradsense.lsp.client import Client
from gradsense.lsp.completion import Completions
from gradsense.lsp.configuration import Configuration
from gradsense.lsp.convert import is_file, path_of
from gradsense.lsp.diagnostics import Diagnostics
from gradsense.lsp.documents import Documents
from gradsense.lsp.explain import Explain
from gradsense.lsp.files import Files
from gradsense.lsp.hints import InlayHints
from gradsense.lsp.hover import Hovers
from gradsense.lsp.interpreters import Interpreters
from gradsense.lsp.lens import Lenses
from gradsense.lsp.links import Links
from gradsense.lsp.logs import Trace, log_to_client
from gradsense.lsp.probe import Probes
from gradsense.lsp.progress import Progress
from gradsense.lsp.settings import Settings
from gradsense.lsp.targets import Targets
from gradsense.lsp.trouble import Troubles

if TYPE_CHECKING:
    from gradsense.lsp.stdio import MessageReader
    from gradsense.workspace.session import Session

logger = logging.getLogger(__name__)

MOST_REQUESTS = 5000
"""Of the client, in flight: no editor has so many, and each holds memory."""
MOST_UNANSWERED = 200
"""Of ours, before the oldest is taken for one that will never be answered."""

TIDY_AFTER_S = 0.1
"""How long after the first findings what the start has left behind is freed: they are on their way by then."""

OWN_METHODS = "gradsense/"
"""What the requests and notifications begin with that are ours; their parameters arrive as plain
dictionaries."""

PYTHON_CELLS = types.NotebookDocumentSyncOptions(
    notebook_selector=[types.NotebookDocumentFilterWithCells(cells=[types.NotebookCellLanguage(language="python")])]
)


class Protocol(LanguageServerProtocol):
    """The messages' way in and out."""

    _server: Server

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._unanswered: dict[int | str, concurrent.futures.Future[Any]] = {}

    def receive(self, body: bytes) -> None:
        """Handle one message. Whatever it holds, the server lives on, and a request gets an answer."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            logger.error("Not a message: %r", body[:200])
            return
        if not isinstance(data, dict):
            logger.error("Not a message: %r", body[:200])
            return
        try:
            self.handle_message(self.structure_message(data))
        except JsonRpcException as error:
            if "method" in data and "id" in data:
                self._send_response(data["id"], error=error.to_response_error())
        except Exception:
            logger.exception("A message could not be handled")

    def structure_message(self, data: dict[str, Any]) -> Any:
        method = data.get("method")
        if isinstance(method, str) and method.startswith(OWN_METHODS):
            params = data.get("params") or {}
            if "id" in data:
                return JsonRPCRequestMessage(data["id"], method, self.VERSION, params)
            return JsonRPCNotification(method, self.VERSION, params)
        return super().structure_message(data)

    def handle_message(self, message: Any) -> None:
        """Requests outside of the session are answered with an error, as the protocol has it."""
        method = getattr(message, "method", None)
        if method is not None and hasattr(message, "id"):
            code = None
            if self._shutdown or (method == types.INITIALIZE and self._server.is_initialized):
                code = types.ErrorCodes.InvalidRequest
            elif method != types.INITIALIZE and not self._server.is_initialized:
                code = types.ErrorCodes.ServerNotInitialized
            if code is not None:
                self._send_response(message.id, error=types.ResponseError(code, f"`{method}` out of turn"))
                return
            if len(self._request_futures) >= MOST_REQUESTS and method != types.SHUTDOWN:
                error = types.ResponseError(types.LSPErrorCodes.RequestFailed, "Too many requests at once")
                self._send_response(message.id, error=error)
                return
        elif method not in (None, types.EXIT) and not self._server.is_initialized:
            return
        super().handle_message(message)

    def _execute_handler(self, msg_id: int | str, *arguments: Any, **named: Any) -> None:
        """pygls keeps the task of each notification for ever."""
        super()._execute_handler(msg_id, *arguments, **named)
        future = self._request_futures.get(msg_id)

        def forget(_: object) -> None:
            if self._request_futures.get(msg_id) is future:
                del self._request_futures[msg_id]

        if future is not None:
            future.add_done_callback(forget)

    def send_request(
        self,
        method: str,
        params: Any | None = None,
        callback: Callable[[Any], None] | None = None,
        msg_id: int | str | None = None,
    ) -> concurrent.futures.Future[Any]:
        """pygls keeps what belongs to a request until it is answered with a result."""
        name = msg_id if msg_id is not None else str(uuid.uuid4())
        future = super().send_request(method, params, callback, name)
        self._unanswered[name] = future
        future.add_done_callback(lambda _: self._forget(name))
        if len(self._unanswered) > MOST_UNANSWERED:
            next(iter(self._unanswered.values())).cancel()
        return future

    def _forget(self, request: int | str) -> None:
        for kept in (self._unanswered, self._request_futures, self._result_types):
            kept.pop(request, None)

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> types.InitializeResult:  # type: ignore[override]
        """pygls would make its own workspace here, whose documents break lines where the protocol doesn't."""
        server = self._server
        self.client_capabilities = params.capabilities
        server.process_id = params.process_id
        self.trace = params.trace or types.TraceValue.Off
        server.begin(Client.of(params), _roots(params))
        features = {*self.fm.features, *self.fm.builtin_features}
        self.server_capabilities = ServerCapabilitiesBuilder(
            params.capabilities,
            features,
            self.fm.feature_options,
            list(server.commands),
            types.TextDocumentSyncKind.Incremental,
            PYTHON_CELLS,
            types.PositionEncodingKind(server.client.encoding),
        ).build()  # type: ignore[no-untyped-call]
        sync = self.server_capabilities.text_document_sync
        assert isinstance(sync, types.TextDocumentSyncOptions)
        sync.open_close = True
        self.server_capabilities.diagnostic_provider = server.diagnostics.options
        return types.InitializeResult(self.server_capabilities, self.server_info)

    @lsp_method(types.INITIALIZED)
    def lsp_initialized(self, params: types.InitializedParams) -> None:
        self._server.configuration.watch_files()
        self._server.settings.watch()
        self._server.files.look()

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *_: object) -> None:  # type: ignore[override]
        """pygls iterates over the requests in flight while their cancellation takes them out."""
        self._shutdown = True
        for future in list(self._request_futures.values()):
            future.cancel()
        self._server.drop_work()

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_: object) -> None:  # type: ignore[override]
        """pygls raises SystemExit within a callback, and loses the exit code on the way."""
        self._server.end(0 if self._shutdown else 1)

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        self._server.documents.open(params.text_document)
        self._server.changed(params.text_document.uri)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        uri = params.text_document.uri
        self._server.probes.edited(uri, self._server.documents.change(params))
        self._server.changed(uri)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        self._server.documents.close(params.text_document.uri)
        self._server.closed([params.text_document.uri])

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(self, params: types.DidOpenNotebookDocumentParams) -> None:
        self._server.documents.open_notebook(params)
        self._server.changed(params.notebook_document.uri)
        # What was told of the file is told of its cells from here on.
        self._server.diagnostics.file_looked_at(params.notebook_document.uri)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(self, params: types.DidChangeNotebookDocumentParams) -> None:
        closed, edits = self._server.documents.change_notebook(params)
        self._server.closed(closed)
        for uri, made in edits.items():
            self._server.probes.edited(uri, made)
        self._server.changed(params.notebook_document.uri)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(self, params: types.DidCloseNotebookDocumentParams) -> None:
        closed = self._server.documents.close_notebook(params.notebook_document.uri)
        self._server.closed([params.notebook_document.uri, *closed])

    @lsp_method(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def lsp_workspace__did_change_workspace_folders(self, params: types.DidChangeWorkspaceFoldersParams) -> None:
        removed = {path_of(folder.uri) for folder in params.event.removed}
        added = [path_of(folder.uri) for folder in params.event.added if is_file(folder.uri)]
        kept = [root for root in self._server.roots if str(root) not in removed]
        self._server.open_folders([*kept, *map(Path, added)])

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(self, params: types.ExecuteCommandParams) -> Any:  # type: ignore[override]
        """pygls runs an `async` command in a task that cancelling the request doesn't reach."""
        command = self._server.commands.get(params.command)
        if command is None:
            raise ValueError(f"There is no command `{params.command}`")
        return await command(list(params.arguments or ()), params.work_done_token)

    @lsp_method(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def lsp_work_done_progress_cancel(self, params: types.WorkDoneProgressCancelParams) -> None:
        self._server.work_progress.cancelled_by_client(params.token)


class Server(LanguageServer):
    """One client's server."""

    protocol: Protocol
    client: Client
    documents: Documents
    analyses: Analyses

    def __init__(self) -> None:
        super().__init__("gradsense", __version__, protocol_cls=Protocol)
        self.roots: list[Path] = []
        self.is_initialized = False
        self.reader: MessageReader | None = None
        self._session: Session | None = None
        self._engine: asyncio.Future[None] | None = None
        self._is_tidy = False
        self._exit: asyncio.Future[int] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.work_progress = Progress(self)
        self.configuration = Configuration(self)
        self.diagnostics = Diagnostics(self)
        self.files = Files(self)
        self.lenses = Lenses(self)
        self.hints = InlayHints(self)
        self.settings = Settings(self)
        self.probes = Probes(self)
        self.explain = Explain(self)
        self.commands = {**self.probes.commands, **self.explain.commands}
        for feature in (
            self.diagnostics,
            self.files,
            Actions(self),
            Hovers(self),
            Completions(self),
            Links(self),
            self.lenses,
            self.hints,
            self.probes,
            self.explain,
            self.configuration,
            self.settings,
            Interpreters(self),
            Targets(self),
        ):
            feature.register()

    def handle(self, method: str, handler: Callable[[Any], Coroutine[Any, Any, Any]], options: Any = None) -> None:
        """Have a feature's method handle the messages of one kind."""

        # pygls puts attributes on its handlers, which bound methods don't take.
        async def handled(params: Any) -> Any:
            return await handler(params)

        self.feature(method, options)(handled)

    # --- the session, from beginning to end

    def begin(self, client: Client, roots: list[Path]) -> None:
        """The client has said who it is."""
        self.client = client
        self.roots = roots
        self.documents = Documents(client.encoding)
        self.analyses = Analyses(
            self.documents, lambda: self.session, self.engine_imported, self._messages_wait, Troubles(self)
        )
        self.analyses.listeners += [self.diagnostics.analysed, self.configuration.analysed, self.probes.analysed]
        self.analyses.listeners.append(self._tidy_up_once)
        self.analyses.at_progress = self.files.progressed
        self.analyses.at_analysis = Trace(self).analysed
        self.is_initialized = True
        loop = asyncio.get_running_loop()
        log_to_client(self, loop)
        # A process that isn't there is one in another container, which only the end of the input can tell of.
        if self.process_id is not None and parent.is_running(self.process_id):
            self._watch = loop.create_task(parent.wait_for_end(self.process_id, lambda: self.end(1)))
        # Once the answer is on its way: everything else that the first analysis needs.
        loop.call_soon(self.engine_imported)

    def engine_imported(self) -> asyncio.Future[None]:
        """Done when everything has been imported that was not needed to answer `initialize`."""
        if self._engine is None:
            self._engine = asyncio.ensure_future(asyncio.to_thread(_import_engine))
            self._engine.add_done_callback(self._engine_tried)
        return asyncio.shield(self._engine)

    def _engine_tried(self, engine: asyncio.Future[None]) -> None:
        # What has been imported stays: from here on, the collector (off so far, see `main`) leaves it alone.
        relax_collector()
        if not engine.cancelled() and (error := engine.exception()) is not None:
            logger.error("This installation of GradSense is not complete", exc_info=error)
            self.end(1)

    def _tidy_up_once(self, analysed: Analysed, is_new: bool) -> None:
        """What the start has left behind is freed when the first findings are out, before further files need memory."""
        if not self._is_tidy:
            self._is_tidy = True
            asyncio.get_running_loop().call_later(TIDY_AFTER_S, tidy_up)

    async def serve(self, reader: MessageReader) -> int:
        """Handle messages until the end; the exit code."""
        self.reader = reader
        self._exit = asyncio.get_running_loop().create_future()
        reader.start()
        code = await self._exit
        await self._close()
        return code

    def end(self, code: int) -> None:
        """Leave: the client says so, or is gone."""
        if self._exit is not None and not self._exit.done():
            self._exit.set_result(code)

    def drop_work(self) -> None:
        """Cancel what runs in the background."""
        for task in self._tasks:
            task.cancel()

    async def _close(self) -> None:
        self.drop_work()
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.probes.close()
        if self.is_initialized:
            await self.analyses.close()
        if self._session is not None:
            await self._session.close()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something in the background; it is cancelled when the client shuts down."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Work in the background failed", exc_info=error)

    def _messages_wait(self) -> bool:
        return self.reader is not None and self.reader.pending

    # --- the workspace

    async def heard(self) -> None:
        """Wait until the client has read most of what it was sent: what is large is made for those who read it."""
        if self.reader is not None:
            await self.reader.heard()

    @property
    def session(self) -> Session:
        """What lies outside the documents."""
        if self._session is None:
            from gradsense.workspace.class_answers import kept_class_answers
            from gradsense.workspace.session import Session
            from gradsense.workspace.store import cache_folder

            chosen = self.client
            self._session = Session(
                self.roots,
                interpreter=chosen.interpreter,
                interpreters=chosen.interpreters,
                classes=kept_class_answers(cache_folder()),
            )
            self.configuration.resume()
        return self._session

    def open_folders(self, roots: list[Path]) -> None:
        """The client has opened or closed folders."""
        self.roots = roots
        self.environments_changed()

    def environments_changed(self) -> None:
        """Forget what was read of the world outside the documents."""
        session, self._session = self._session, None
        if session is not None:
            self.start(session.close())
        self.analyses.touch_all(anew=True)
        self.files.look()

    def changed(self, uri: str) -> None:
        """The text of a document or notebook has changed."""
        self.configuration.changed(uri)
        unit = self.documents.unit_of(uri)
        self.analyses.touch(unit)
        if self.documents.source(unit) is None:
            self.diagnostics.closed(uri)  # It has become one of another language.

    def closed(self, uris: list[str]) -> None:
        """Documents or notebooks are no longer open."""
        for uri in uris:
            self.probes.closed(uri)
            self.lenses.closed(uri)
            self.hints.closed(uri)
            self.diagnostics.closed(uri)
            self.configuration.changed(uri)
            # A cell that is prose now is still part of its notebook, and no text of its own.
            self.analyses.touch(self.documents.unit_of(uri))

    # --- to the client

    def request(self, method: str, params: Any = None) -> None:
        """Send a request whose answer doesn't matter."""

        async def send() -> None:
            try:
                await self.protocol.send_request_async(method, params)
            except JsonRpcException as error:
                logger.info("The client answers %s with an error: %s", method, error)

        self.start(send())

    def report_server_error(self, error: Exception, source: type[PyglsError] | type[JsonRpcException]) -> None:
        """Log it. pygls would show a message box, once for each keystroke; errors of requests it has logged
        itself."""
        if source is not FeatureRequestError:
            logger.error("%s: %s", source.__name__, error, exc_info=error)


def _import_engine() -> None:
    import gradsense.rules.pages
    import gradsense.workspace.solve  # noqa: F401
    from gradsense.rules.registry import all_rules

    all_rules()


def _roots(params: types.InitializeParams) -> list[Path]:
    """The open folders, by whichever of its three ways the client names them."""
    folders = params.workspace_folders
    if folders:
        return [Path(path_of(folder.uri)) for folder in folders if is_file(folder.uri)]
    if params.root_uri and is_file(params.root_uri):
        return [Path(path_of(params.root_uri))]
    return [Path(params.root_path)] if params.root_path else []
