"""What goes wrong, told in the client's log as well as on stderr. Never in a message box."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

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
    # It warns of what is normal: a request cancelled after its answer, a notification that nobody needs.
    logging.getLogger("pygls").setLevel(logging.ERROR)
