"""Links: from a rule's name, in a suppression or a configuration, to its page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.findings import Span
from gradsense.lsp.config_document import ConfigDocument
from gradsense.lsp.convert import range_of
from gradsense.source.lines import LineIndex

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server


class Links:
    """`textDocument/documentLink`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def register(self) -> None:
        self._server.handle(types.TEXT_DOCUMENT_DOCUMENT_LINK, self.links)

    async def links(self, params: types.DocumentLinkParams) -> list[types.DocumentLink]:
        uri = params.text_document.uri
        document = self._server.documents.get(uri)
        if document is None:
            return []
        await self._server.engine_imported()
        if self._server.configuration.is_open(uri):
            configuration = ConfigDocument.of(uri, document.text)
            return list(self._to_pages(configuration.selectors, configuration.lines))
        if document.language_id != "python" or "gradsense:" not in document.text:
            return []
        from gradsense.source.blocks import read_document

        read = read_document(document.text)
        named = (rule for suppression in read.suppressions for rule in suppression.rules)
        return list(self._to_pages(named, read.lines))

    def _to_pages(self, named: Iterable[tuple[str, Span]], lines: LineIndex) -> Iterator[types.DocumentLink]:
        from gradsense.rules.pages import page_url
        from gradsense.rules.registry import rule_of

        for name, span in named:
            rule = rule_of(name)
            if rule is not None:
                where = range_of(lines, span, self._server.client.encoding)
                yield types.DocumentLink(where, page_url(rule.name), tooltip=f"{rule.code} {rule.name}")
