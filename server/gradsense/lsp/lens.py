"""The lens above each model class that runs the probe and tells its last result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.findings import Span

if TYPE_CHECKING:
    from gradsense.lsp.server import Server

TITLE = "▷ Run probe"


class Lenses:
    """`textDocument/codeLens`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def register(self) -> None:
        self._server.handle(types.TEXT_DOCUMENT_CODE_LENS, self.lenses)

    async def lenses(self, params: types.CodeLensParams) -> list[types.CodeLens]:
        """None where a probe may not run: a lens that only says so is noise."""
        uri = params.text_document.uri
        if not self._server.client.may_probe:
            return []
        analysed = await self._server.analyses.current(uri)
        if analysed is None or analysed.source.is_notebook:
            return []
        found = []
        for model in analysed.classes:
            start = Span(model.span.start, model.span.start)
            _, where = analysed.source.locate(start, self._server.client.encoding)
            result = self._server.probes.words(uri, model.qualname)
            title = f"{TITLE} · {result}" if result else TITLE
            found.append(types.CodeLens(where, self._server.probes.command_for(uri, model.qualname, title)))
        return found

    def refresh(self) -> None:
        """Have the client ask again."""
        if self._server.client.refreshes_lenses:
            self._server.request(types.WORKSPACE_CODE_LENS_REFRESH)
