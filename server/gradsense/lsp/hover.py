"""Hover: what a finding's rule says in brief, and what is understood of the optimizer, network or step there; a rule's
whole page over its name in a suppression or a configuration, and there what a key does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.config import KEYS, Key, RuleName, resolve_rules
from gradsense.findings import Span
from gradsense.lsp.analyses import Analysed
from gradsense.lsp.config_document import ConfigDocument
from gradsense.lsp.convert import offset_at, range_of
from gradsense.lsp.explain import markdown_of
from gradsense.lsp.markup import code_block

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
        if self._server.configuration.is_open(params.text_document.uri):
            return await self._of_configuration(params)
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
            told.append(code_block(block) if markdown else block)
        return self._shown(analysed, told, found[0][1] if found else insight.span if insight else Span(offset, offset))

    async def _of_configuration(self, params: types.HoverParams) -> types.Hover | None:
        await self._server.engine_imported()
        client = self._server.client
        uri = params.text_document.uri
        document = ConfigDocument.of(uri, self._server.documents[uri].text)
        offset = offset_at(document.lines, params.position, client.encoding)
        told = _of_selector(document, offset) or _of_key(document, offset)
        if told is None:
            return None
        kind = types.MarkupKind.Markdown if client.takes_markdown else types.MarkupKind.PlainText
        return types.Hover(types.MarkupContent(kind, told[0]), range_of(document.lines, told[1], client.encoding))

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


def _of_selector(document: ConfigDocument, offset: int) -> tuple[str, Span] | None:
    """The page of the rule that is named at an offset, or what several that are have in common."""
    from gradsense.rules.registry import all_rules, families

    for text, span in document.selectors:
        if not span.start <= offset <= span.end:
            continue
        names = [RuleName(rule.code, rule.name, rule.on_by_default) for rule in all_rules()]
        codes = resolve_rules(text, names)
        rules = [rule for rule in all_rules() if rule.code in codes]
        if not rules:
            return None
        if len(rules) == 1:
            return markdown_of(rules[0]), span
        about = families().get(text.upper(), f"{len(rules)} rules")
        listed = "\n".join(f"- {rule.code} {rule.name}" for rule in rules)
        return f"**{text}**: {about}\n\n{listed}", span
    return None


def _of_key(document: ConfigDocument, offset: int) -> tuple[str, Span] | None:
    """What the key at an offset does."""
    for path, key, _ in document.settings:
        known = next((each for each in KEYS if each.path == path), None)
        if known is not None and key.span.start <= offset <= key.span.end:
            return words_of(known), key.span
    return None


def words_of(key: Key) -> str:
    """What a key of the configuration does, under its name."""
    default = f"\n\nDefault: `{key.default}`" if key.default else ""
    return f"**{'.'.join(key.path)}**\n\n{key.documentation}{default}"


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
