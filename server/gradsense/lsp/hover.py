"""Hover: what a finding's rule says in brief, and what is understood of the optimizer, network or step there; a rule's
whole page over its name in a suppression.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.findings import Span
from gradsense.lsp.analyses import Analysed
from gradsense.lsp.convert import offset_at
from gradsense.lsp.explain import markdown_of

if TYPE_CHECKING:
    from gradsense.insight.at import Insight
    from gradsense.lsp.language_server import Server
    from gradsense.rules.base import Rule

logger = logging.getLogger(__name__)


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
        offset = part.start + offset_at(part.lines, params.position, self._server.client.encoding)
        markdown = self._server.client.takes_markdown
        if named := _suppressed_at(analysed, offset):
            return self._shown(analysed, _words(named, markdown_of), named[0][1])
        found = _found_at(analysed, offset)
        # The editor shows the finding's own message, too: together they must not hide the code.
        told = _words(found, lambda rule: brief(rule, markdown=markdown))
        insight = _insight(analysed, offset)
        if insight is not None:
            block = "\n".join(insight.lines)
            told.append(f"```text\n{block}\n```" if markdown else block)
        return self._shown(analysed, told, found[0][1] if found else insight.span if insight else Span(offset, offset))

    def _shown(self, analysed: Analysed, told: list[str], span: Span) -> types.Hover | None:
        if not told:
            return None
        client = self._server.client
        kind = types.MarkupKind.Markdown if client.takes_markdown else types.MarkupKind.PlainText
        _, where = analysed.source.locate(span, client.encoding)
        return types.Hover(types.MarkupContent(kind, "\n\n---\n\n".join(told)), where)


def _insight(analysed: Analysed, offset: int) -> Insight | None:
    """What the engine knows of what stands at an offset; None after a mistake of ours, too."""
    from gradsense.engine import insight_at

    try:
        return insight_at(analysed.snapshot, offset)
    except Exception:
        logger.exception("A mistake of GradSense's, please report it. This hover is not complete")
        return None


def _words(rules: list[tuple[str, Span]], words_of: Callable[[type[Rule]], str]) -> list[str]:
    from gradsense.rules.registry import rule_of

    return [words_of(rule) for name, _ in rules if (rule := rule_of(name)) is not None]


def brief(rule: type[Rule], *, markdown: bool) -> str:
    """A rule in a few lines: its name, what it finds, why that matters, and where its page is."""
    from gradsense.rules.pages import page_url, sections_of

    title, url = f"{rule.code} {rule.name}", page_url(rule.name)
    why, _, _ = dict(sections_of(rule.documentation)).get("Why it matters", "").partition("\n\n")
    parts = [
        f"**{title}**" if markdown else title,
        rule.summary,
        " ".join(why.split()),
        f"[Rule page]({url})" if markdown else url,
    ]
    return "\n\n".join(part for part in parts if part)


def _found_at(analysed: Analysed, offset: int) -> list[tuple[str, Span]]:
    """The rules of the findings at `offset`, each once, with the range of one."""
    found = (f for f in analysed.findings if f.span.start <= offset <= f.span.end)
    return list({finding.code: finding.span for finding in found}.items())


def _suppressed_at(analysed: Analysed, offset: int) -> list[tuple[str, Span]]:
    """The rule that a suppression names at `offset`, with the range of the name."""
    from gradsense.source.blocks import read_document

    document = read_document(analysed.source.text, analysed.source.cells)
    return [
        (rule, span)
        for suppression in document.suppressions
        for rule, span in suppression.rules
        if span.start <= offset <= span.end
    ]
