"""Work-done progress: on the client's token, or on one of the server's where the client shows such."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

logger = logging.getLogger(__name__)

Report = Callable[[str], None]


class Progress:
    """The progress of whatever takes a while."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cancel: dict[int | str, Callable[[], object]] = {}
        self._created = 0

    @asynccontextmanager
    async def shown(
        self, title: str, token: int | str | None, cancel: Callable[[], object] | None = None
    ) -> AsyncIterator[Report]:
        """Show progress as long as the context lasts; what it gives takes a few words on the stage that is
        reached.

        `cancel` is called if the user cancels; without it the client is offered no such thing.
        """
        if token is None:
            token = await self._create()
        if token is None:
            yield lambda _: None
            return
        if cancel is not None:
            self._cancel[token] = cancel
        self._send(token, types.WorkDoneProgressBegin(title=title, cancellable=cancel is not None))
        try:
            yield lambda words: self._send(token, types.WorkDoneProgressReport(message=words))
        finally:
            self._cancel.pop(token, None)
            self._send(token, types.WorkDoneProgressEnd())

    def cancelled_by_client(self, token: int | str) -> None:
        """The user has cancelled what `token` stands for."""
        if (cancel := self._cancel.get(token)) is not None:
            cancel()

    async def _create(self) -> str | None:
        if not self._server.client.shows_progress:
            return None
        self._created += 1
        token = f"gradsense-{self._created}"
        try:
            await self._server.protocol.send_request_async(
                types.WINDOW_WORK_DONE_PROGRESS_CREATE, types.WorkDoneProgressCreateParams(token)
            )
        except JsonRpcException as error:
            logger.info("The client takes no progress: %s", error)
            return None
        return token

    def _send(self, token: int | str, value: Any) -> None:
        self._server.protocol.notify(types.PROGRESS, types.ProgressParams(token, value))
