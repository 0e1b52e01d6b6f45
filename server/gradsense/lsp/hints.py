"""Inlay hints: behind the line of each layer what the last probe has measured, and behind an optimizer how many of the
parameters it holds. Both can be switched off (`settings.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from lsprotocol import types

from gradsense.findings import Span
from gradsense.lsp.analyses import Analysed
from gradsense.lsp.markup import code_block
from gradsense.lsp.probe import Measured

if TYPE_CHECKING:
    from gradsense.insight.coverage import Coverage
    from gradsense.lsp.language_server import Server


class _Shown(NamedTuple):
    """A hint of what an optimizer holds: the text that it stands behind, from its line's start, and its words."""

    before: str
    held: int
    of: int
    told: str


class InlayHints:
    """`textDocument/inlayHint` and `inlayHint/resolve`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._covered: dict[str, list[_Shown]] = {}
        """By document or notebook, the optimizers of its last text without damage."""

    def register(self) -> None:
        options = types.InlayHintOptions(resolve_provider=True)
        self._server.handle(types.TEXT_DOCUMENT_INLAY_HINT, self.hints, options)
        self._server.handle(types.INLAY_HINT_RESOLVE, self.resolve)

    async def hints(self, params: types.InlayHintParams) -> list[types.InlayHint]:
        """Those in the range that the client shows."""
        uri = params.text_document.uri
        wanted = await self._server.settings.hints_for(uri)
        found: list[types.InlayHint] = []
        if wanted.probe:
            probes = self._server.probes
            found += [_measured(measured, probes.end_of(measured)) for measured in probes.measured(uri)]
        if wanted.optimizer_coverage != "off":
            analysed = await self._server.analyses.current(uri)
            for hint, shown in self._optimizers(analysed, uri) if analysed is not None else ():
                if shown.held < shown.of or wanted.optimizer_coverage == "all":
                    found.append(hint)
        first, last = params.range.start.line, params.range.end.line
        return [hint for hint in found if first <= hint.position.line <= last]

    async def resolve(self, hint: types.InlayHint) -> types.InlayHint:
        """Add what the hover over the optimizer tells."""
        data: Any = hint.data
        if isinstance(data, dict):
            shown = self._covered.get(str(data.get("unit")), [])
            told = [each.told for each in shown if each.before == data.get("before")]
            hint.tooltip = self._tooltip(told[0]) if told else None
        return hint

    def refresh(self) -> None:
        """Have the client ask again."""
        if self._server.client.refreshes_hints:
            self._server.request(types.WORKSPACE_INLAY_HINT_REFRESH)

    def closed(self, uri: str) -> None:
        self._covered.pop(uri, None)
        self._server.settings.closed(uri)

    def _optimizers(self, analysed: Analysed, uri: str) -> Iterator[tuple[types.InlayHint, _Shown]]:
        """The hints of one document; in a damaged text also those of the text before, where their lines still stand."""
        from gradsense.source.damage import is_damaged

        unit, text = analysed.source.uri, analysed.source.text
        known = {each.span.end: _shown(text, each) for each in analysed.coverage}
        if is_damaged(text, analysed.source.cells):
            for old in self._covered.get(unit, ()):
                place = text.find(old.before)
                if place == 0 or (place > 0 and text[place - 1] in "\r\n"):
                    known.setdefault(place + len(old.before), old)
        self._covered[unit] = list(known.values())
        part = analysed.source.part_of(uri)
        for end, shown in known.items():
            if part is not None and analysed.source.part_at(max(end - 1, 0)) is part:
                where = analysed.source.locate(Span(end - 1, end), self._server.client.encoding)[1]
                yield self._hint(where.end, unit, shown), shown

    def _hint(self, end: types.Position, unit: str, shown: _Shown) -> types.InlayHint:
        hint = types.InlayHint(end, f"{shown.held} of {shown.of} parameters", padding_left=True)
        if self._server.client.resolves_hints:
            hint.data = {"unit": unit, "before": shown.before}
        else:
            hint.tooltip = self._tooltip(shown.told)
        return hint

    def _tooltip(self, told: str) -> types.MarkupContent | str:
        if not self._server.client.takes_markdown:
            return told
        return types.MarkupContent(types.MarkupKind.Markdown, code_block(told))


def _shown(text: str, covered: Coverage) -> _Shown:
    end = covered.span.end
    start = max(text.rfind("\n", 0, end), text.rfind("\r", 0, end)) + 1
    return _Shown(text[start:end], covered.held, covered.of, "\n".join(covered.lines))


def _measured(measured: Measured, end: types.Position) -> types.InlayHint:
    return types.InlayHint(position=end, label=measured.label, tooltip=measured.told, padding_left=True)
