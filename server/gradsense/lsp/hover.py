"""Hover: what the rule says, over a finding and over the rule's name in a suppression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.findings import Span
from gradsense.lsp.analyses import Analysed
from gradsense.lsp.convert import offset_at
from gradsense.lsp.explain import markdown_of

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server


class Hovers:
    """`textDocument/hover`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def register(self) -> None:
        self._server.handle(types.TEXT_DOCUMENT_HOVER, self.hover)

    async def hover(self, params: types.HoverParams) -> types.Hover | None:
        analysed = await self._server.analyses.current(params.text_document.uri)
        part = analysed.source.part_of(params.text_document.uri) if analysed else None
        if analysed is None or part is None:
            return None
        from gradsense.rules.registry import rule_of

        offset = part.start + offset_at(part.lines, params.position, self._server.client.encoding)
        told = _rules_at(analysed, offset)
        pages = [markdown_of(rule) for name, _ in told if (rule := rule_of(name)) is not None]
        if not pages:
            return None
        markdown = self._server.client.takes_markdown
        kind = types.MarkupKind.Markdown if markdown else types.MarkupKind.PlainText
        _, where = analysed.source.locate(told[0][1], self._server.client.encoding)
        return types.Hover(types.MarkupContent(kind, "\n\n---\n\n".join(pages)), where)


def _rules_at(analysed: Analysed, offset: int) -> list[tuple[str, Span]]:
    """The rules that the text at `offset` is about, each once, with the range that is."""
    found = {
        finding.code: finding.span
        for finding in analysed.findings
        if finding.span.start <= offset <= finding.span.end
    }
    if found:
        return list(found.items())
    from gradsense.source.blocks import read_document

    document = read_document(analysed.source.text, analysed.source.cells)
    return [
        (rule, span)
        for suppression in document.suppressions
        for rule, span in suppression.rules
        if span.start <= offset <= span.end
    ]
