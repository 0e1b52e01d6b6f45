"""Completion: rules in suppressions and in configuration files, and there keys and values.

Editors ask at each word that is typed, of everyone who may know. So in a program the line alone says whether there is
anything to tell, before an analysis is waited for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.config import KEYS, SEVERITY_NAMES, Key
from gradsense.findings import Span
from gradsense.lsp.config_document import ConfigDocument, Place, takes_rules
from gradsense.lsp.convert import offset_at, range_of
from gradsense.lsp.hover import brief, words_of
from gradsense.source.lines import LineIndex

if TYPE_CHECKING:
    from gradsense.lsp.analyses import Analysed
    from gradsense.lsp.language_server import Server
    from gradsense.rules.base import Rule

_DIRECTIVE = re.compile(r"#\s*gradsense:[ \t]*([\w-]*)$")
_RULES = re.compile(r"#\s*gradsense:\s*(ignore-file|ignore)\s*\[([^\]]*)$")
_WORD = re.compile(r"[^\s,\[\]]*")
_WAYS = (
    ("ignore", "Silence rules on this line", True),
    ("ignore-file", "Silence rules in this file", True),
    ("probe", "How the probe builds the class below, and its batch", False),
)


class Completions:
    """`textDocument/completion` and `completionItem/resolve`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def register(self) -> None:
        options = types.CompletionOptions(trigger_characters=["[", ",", ":", '"', "'", "."], resolve_provider=True)
        self._server.handle(types.TEXT_DOCUMENT_COMPLETION, self.complete, options)
        self._server.handle(types.COMPLETION_ITEM_RESOLVE, self.resolve)

    async def complete(self, params: types.CompletionParams) -> list[types.CompletionItem]:
        uri = params.text_document.uri
        document = self._server.documents.get(uri)
        if document is None:
            return []
        if self._server.configuration.is_open(uri):
            await self._server.engine_imported()
            return list(self._in_configuration(ConfigDocument.of(uri, document.text), params.position))
        before = document.before(params.position)
        if document.language_id != "python" or "gradsense:" not in before:
            return []
        if directive := _DIRECTIVE.search(before):
            space = "" if before.removesuffix(directive[1])[-1:].isspace() else " "
            return list(self._directives(params.position, directive[1], space))
        if named := _RULES.search(before):
            return await self._in_suppression(params, named[1], named[2])
        return []

    async def resolve(self, item: types.CompletionItem) -> types.CompletionItem:
        """Add what a rule says: too much to send for all of them."""
        from gradsense.rules.registry import rule_of

        await self._server.engine_imported()
        rule = rule_of(str(item.data))
        if rule is not None:
            item.documentation = self._documentation(brief(rule, markdown=self._server.client.takes_markdown))
        return item

    def _documentation(self, text: str) -> types.MarkupContent:
        markdown = self._server.client.takes_markdown
        return types.MarkupContent(types.MarkupKind.Markdown if markdown else types.MarkupKind.PlainText, text)

    # --- suppressions

    def _directives(self, position: types.Position, typed: str, space: str) -> Iterator[types.CompletionItem]:
        start = types.Position(position.line, position.character - len(typed))
        snippets = self._server.client.takes_snippets
        for way, about, takes in _WAYS:
            text = way if not takes else f"{way}[$1]" if snippets else f"{way}["
            item = types.CompletionItem(
                way,
                kind=types.CompletionItemKind.Keyword,
                detail=about,
                filter_text=f"{space}{way}",
                text_edit=types.TextEdit(types.Range(start, position), f"{space}{text}"),
                insert_text_format=types.InsertTextFormat.Snippet if snippets and takes else None,
            )
            if takes and snippets and self._server.client.runs_commands:
                item.command = types.Command("Suggest", "editor.action.triggerSuggest")
            yield item

    async def _in_suppression(
        self, params: types.CompletionParams, way: str, before: str
    ) -> list[types.CompletionItem]:
        uri = params.text_document.uri
        analysed = await self._server.analyses.current(uri)
        part = analysed.source.part_of(uri) if analysed is not None else None
        if analysed is None or part is None:
            return []
        offset = offset_at(part.lines, params.position, self._server.client.encoding)
        comment = _comment_at(part.text, offset)
        if comment is None:
            return []
        typed = re.split(r"[\s,]", before)[-1]
        rest = _WORD.match(part.text, offset)
        word = Span(offset - len(typed), rest.end() if rest is not None else offset)
        whole = part.text[offset - len(before) : part.text.find("]", offset, comment.end)]
        others = {name for name in re.split(r"[\s,]+", whole) if name and name != part.text[slice(*word)]}
        space = " " if before[: len(before) - len(typed)].endswith(",") else ""
        found = _silenced(analysed, Span(part.start + comment.start, part.start + comment.end), way == "ignore-file")
        where = range_of(part.lines, word, self._server.client.encoding)
        return list(self._rules(where, others, space=space, first=found))

    # --- configuration

    def _in_configuration(self, document: ConfigDocument, position: types.Position) -> Iterator[types.CompletionItem]:
        encoding = self._server.client.encoding
        place = document.place_at(offset_at(document.lines, position, encoding))
        if place is None:
            return
        where = range_of(document.lines, place.word, encoding)
        depth = len(document.prefix)
        if place.kind == "header":
            yield from self._headers(document, where)
        elif place.path[:depth] == document.prefix:
            place = place._replace(path=place.path[depth:])
            if place.kind == "key":
                yield from self._keys(document, place, where)
            else:
                yield from self._values(place, where)

    def _headers(self, document: ConfigDocument, where: types.Range) -> Iterator[types.CompletionItem]:
        there = {tuple(key.name for key in table.keys) for table in document.tables if table.keys}
        tables = {key.path: words_of(key) for key in KEYS if key.takes in ("severities", "patterns", "hints", "keys")}
        for path, words in {(): "Configures GradSense.", **tables}.items():
            name = ".".join((*document.prefix, *path))
            if name and (*document.prefix, *path) not in there:
                yield types.CompletionItem(
                    name,
                    kind=types.CompletionItemKind.Module,
                    documentation=self._documentation(words),
                    text_edit=types.TextEdit(where, name),
                )

    def _keys(self, document: ConfigDocument, place: Place, where: types.Range) -> Iterator[types.CompletionItem]:
        there = {setting.path for setting in document.settings}
        if place.path == ("severity",):
            named = {path[1] for path in there if path[:1] == ("severity",) and len(path) == 2}
            ending = "" if place.assigned or place.quoted else ' = "${1|' + ",".join(SEVERITY_NAMES) + '|}"'
            yield from self._rules(where, named, families=True, ending=ending)
        for key in KEYS:
            written = document.text[slice(*place.word)]
            if key.path[:-1] == place.path and (key.path not in there or key.path[-1] == written):
                snippets = self._server.client.takes_snippets and not place.assigned
                yield types.CompletionItem(
                    key.path[-1],
                    kind=types.CompletionItemKind.Property,
                    documentation=self._documentation(words_of(key)),
                    text_edit=types.TextEdit(where, f"{key.path[-1]}{_value(key)}" if snippets else key.path[-1]),
                    insert_text_format=types.InsertTextFormat.Snippet if snippets else None,
                )

    def _values(self, place: Place, where: types.Range) -> Iterator[types.CompletionItem]:
        quote = "" if place.quoted else '"'
        if takes_rules(place.path):
            yield from self._rules(where, place.beside, families=True, quote=quote)
        elif len(place.path) == 2 and place.path[0] == "severity":
            yield from (_word(where, name, f"{quote}{name}{quote}") for name in SEVERITY_NAMES)
        elif any(key.path == place.path and key.takes == "flag" for key in KEYS) and not place.quoted:
            yield from (_word(where, name, name) for name in ("true", "false"))

    # --- rules

    def _rules(
        self,
        where: types.Range,
        without: Iterable[str],
        *,
        families: bool = False,
        quote: str = "",
        space: str = "",
        ending: str = "",
        first: Iterable[str] = (),
    ) -> Iterator[types.CompletionItem]:
        """Every rule by its name and by its code: `first` those that are found at the place, then the others."""
        from gradsense.rules.registry import all_rules
        from gradsense.rules.registry import families as all_families

        first, without = set(first), set(without)
        ending = ending if self._server.client.takes_snippets else ""

        def item(label: str, detail: str, order: str, rule: type[Rule] | None) -> types.CompletionItem:
            return types.CompletionItem(
                label,
                kind=types.CompletionItemKind.EnumMember,
                detail=detail,
                sort_text=order + label,
                preselect=order == "0" or None,
                filter_text=f"{space}{quote}{label}",
                text_edit=types.TextEdit(where, f"{space}{quote}{label}{quote}{ending}"),
                insert_text_format=types.InsertTextFormat.Snippet if ending else None,
                data=rule.code if rule is not None else None,
            )

        for rule in all_rules():
            if without & {rule.name, rule.code}:
                continue
            found = rule.code in first
            about = f"{rule.severity.value}, found here" if found else rule.severity.value
            yield item(rule.name, f"{rule.code} · {about}", "0" if found else "1", rule)
            yield item(rule.code, f"{rule.name} · {about}", "2", rule)
        if families:
            for prefix, about in all_families().items():
                if prefix not in without:
                    yield item(prefix, about, "3", None)


def _value(key: Key) -> str:
    """How a key's value begins, as a snippet."""
    values = {
        "rules": '["$1"]',
        "version": '"$1"',
        "number": f"${{1:{key.default}}}",
        "flag": "${1|true,false|}",
        "device": '"${1:cuda}"',
    }
    return f" = {values.get(key.takes, '{ $1 }')}"


def _word(where: types.Range, label: str, text: str) -> types.CompletionItem:
    kind = types.CompletionItemKind.EnumMember
    return types.CompletionItem(label, kind=kind, filter_text=text, text_edit=types.TextEdit(where, text))


def _comment_at(text: str, offset: int) -> Span | None:
    """The comment that an offset lies in, or at whose end."""
    from gradsense.source.scan import scan

    start = 0
    for line in scan(text).lines:
        if offset <= start + line.length:
            for begin, end in line.comments:
                if start + begin < offset <= start + end:
                    return Span(start + begin, start + end)
        if offset < start + line.length:
            return None
        start += line.length
    return None


def _silenced(analysed: Analysed, comment: Span, everywhere: bool) -> frozenset[str]:
    """The codes of what would be found without a comment: on its statement's lines, or in the file."""
    from gradsense.engine import analyse
    from gradsense.source.blocks import read_document

    text, cells = analysed.source.text, analysed.source.cells
    lines = LineIndex(text)
    covered = next((s.lines for s in read_document(text, cells).suppressions if s.span == comment), range(0))
    without = text[: comment.start] + " " * (comment.end - comment.start) + text[comment.end :]
    found = analyse(replace(analysed.snapshot, text=without)).findings
    return frozenset(f.code for f in found if everywhere or lines.position(f.span.start)[0] in covered)
