"""What goes wrong, told in the client's log as well as on stderr. Never in a message box.

What each analysis costs is told to a client that traces the server (`$/setTrace`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from gradsense.engine import Analysis
    from gradsense.lsp.language_server import Server

LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
"""By the names that `logLevel` takes."""

_TYPES = (
    (logging.ERROR, types.MessageType.Error),
    (logging.WARNING, types.MessageType.Warning),
    (logging.INFO, types.MessageType.Info),
)


class ClientLog(logging.Handler):
    """Sends records as `window/logMessage`, from whichever thread they come."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._server = server
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        kind = next((kind for level, kind in _TYPES if record.levelno >= level), types.MessageType.Log)
        params = types.LogMessageParams(kind, self.format(record))
        with contextlib.suppress(RuntimeError):  # The loop is closed; stderr has the record.
            self._loop.call_soon_threadsafe(self._server.window_log_message, params)


def log_to_client(server: Server, loop: asyncio.AbstractEventLoop) -> None:
    """From now on, the client is told, too."""
    logging.getLogger().addHandler(ClientLog(server, loop))
    logging.getLogger("gradsense").setLevel(server.client.log_level)
    # It warns of what is normal: a request cancelled after its answer, a notification that nobody needs.
    logging.getLogger("pygls").setLevel(logging.ERROR)


class Trace:
    """`$/logTrace`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def analysed(self, path: str, seconds: float, analysis: Analysis) -> None:
        trace = self._server.protocol.trace
        if trace is not types.TraceValue.Off:
            found = f"{len(analysis.findings)} findings, {len(analysis.questions)} questions"
            verbose = found if trace is types.TraceValue.Verbose else None
            self._server.log_trace(types.LogTraceParams(f"Analysed {path} in {seconds * 1000:.1f} ms", verbose))
