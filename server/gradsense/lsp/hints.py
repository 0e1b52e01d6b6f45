"""Inlay hints behind the line of each layer that the last probe has measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.lsp.probe import Measured

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server


class InlayHints:
    """`textDocument/inlayHint`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def register(self) -> None:
        self._server.handle(types.TEXT_DOCUMENT_INLAY_HINT, self.hints)

    async def hints(self, params: types.InlayHintParams) -> list[types.InlayHint]:
        """Those in the range that the client shows."""
        uri = params.text_document.uri
        first, last = params.range.start.line, params.range.end.line
        found = [(measured, self._server.probes.end_of(measured)) for measured in self._server.probes.measured(uri)]
        return [_hint(measured, end) for measured, end in found if first <= end.line <= last]

    def refresh(self) -> None:
        """Have the client ask again."""
        if self._server.client.refreshes_hints:
            self._server.request(types.WORKSPACE_INLAY_HINT_REFRESH)


def _hint(measured: Measured, end: types.Position) -> types.InlayHint:
    return types.InlayHint(position=end, label=measured.label, tooltip=measured.told, padding_left=True)
