"""The lens above each model class, and above a script's training loops, that runs the probe and tells its last
result.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from lsprotocol import types

from gradsense.findings import Span
from gradsense.lsp.convert import range_of
from gradsense.lsp.documents import Part, Source
from gradsense.probe.plan import SCRIPT
from gradsense.source.lines import LineIndex

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

TITLE = "▷ Run probe"
LOOP_TITLE = "▷ Probe this loop"


class _Anchor(NamedTuple):
    """What a lens stands above: a class by its name, or the script; the line that begins it, and its number."""

    name: str
    header: str
    line: int


class Lenses:
    """`textDocument/codeLens`.

    A lens takes a line of its own, so one that comes and goes has everything below it jump. While a line is half typed
    (a base class, an import, the step of a loop) a lens stays where its class or loop still stands, until the text is
    saved.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._shown: dict[str, list[_Anchor]] = {}
        """By document, what was shown last."""
        self._saved: dict[str, int] = {}
        """By document, the revision of its text that was saved last."""
        self._kept: set[str] = set()
        """The documents that show what can't be told of their text any more."""

    def register(self) -> None:
        self._server.handle(types.TEXT_DOCUMENT_CODE_LENS, self.lenses)

    async def lenses(self, params: types.CodeLensParams) -> list[types.CodeLens]:
        """None where a probe may not run: a lens that only says so is noise."""
        uri = params.text_document.uri
        if not self._server.client.may_probe:
            return []
        analysed = await self._server.analyses.current(uri)
        part = analysed.source.part_of(uri) if analysed is not None else None
        if analysed is None or part is None:
            return []
        source, targets = analysed.source, analysed.targets
        found = {
            model.span.start - part.start: model.qualname
            for model in targets.classes
            if source.part_at(model.span.start) is part
        }
        if not source.is_notebook:
            found |= dict.fromkeys((loop.start for loop in targets.loops), SCRIPT)
        self._keep(source, part, found)
        anchors = {offset: self._anchor(part, offset, name) for offset, name in found.items()}
        self._shown[uri] = list(anchors.values())
        return [self._lens(part, found[offset], offset) for offset in sorted(found)]

    def saved(self, uri: str) -> None:
        """What is in the text now is meant so."""
        self._saved[uri] = self._server.documents.revision(uri)
        if uri in self._kept:
            self.refresh()

    def _anchor(self, part: Part, offset: int, name: str) -> _Anchor:
        number = part.lines.position(offset)[0]
        return _Anchor(name, part.text[slice(*part.lines.line_span(number))].strip(), number)

    def _keep(self, source: Source, part: Part, found: dict[int, str]) -> None:
        """Add what was shown before, and can't be told any more of a text that is being typed."""
        from gradsense.source.damage import is_damaged

        uri, lines = part.uri, part.lines
        text = source.text[part.start : part.start + len(part.text)]
        there = [self._anchor(part, offset, name) for offset, name in found.items()]
        taken = {anchor.line for anchor in there}
        left = Counter((anchor.name, anchor.header if anchor.name == SCRIPT else "") for anchor in there)
        missing: list[_Anchor] = []
        for anchor in self._shown.get(uri, ()):
            key = anchor.name, anchor.header if anchor.name == SCRIPT else ""
            if left[key]:
                left[key] -= 1
            else:
                missing.append(anchor)
        self._kept.discard(uri)
        if not missing:
            return
        damaged = is_damaged(text)
        if not damaged and self._saved.get(uri) == source.revision:
            return
        for anchor in missing:
            place = _place_now(text, lines, anchor, taken, damaged)
            if place is not None:
                taken.add(lines.position(place)[0])
                found[place] = anchor.name
                self._kept.add(uri)

    def refresh(self) -> None:
        """Have the client ask again."""
        if self._server.client.refreshes_lenses:
            self._server.request(types.WORKSPACE_CODE_LENS_REFRESH)

    def closed(self, uri: str) -> None:
        self._shown.pop(uri, None)
        self._saved.pop(uri, None)
        self._kept.discard(uri)

    def _lens(self, part: Part, qualname: str, offset: int) -> types.CodeLens:
        where = range_of(part.lines, Span(offset, offset), self._server.client.encoding)
        result = self._server.probes.words(part.uri, qualname)
        action = LOOP_TITLE if qualname == SCRIPT else TITLE
        title = f"{action} · {result}" if result else action
        return types.CodeLens(where, self._server.probes.command_for(part.uri, qualname, title))


_HEADER = re.compile(r"[ \t]*(?:async[ \t]+)?(class\b[ \t]*|for\b|while\b)")


def _place_now(text: str, lines: LineIndex, anchor: _Anchor, taken: set[int], damaged: bool) -> int | None:
    """Where what a lens stood above is now: at the same line, the same class's, or in a damaged text at one that begins
    alike, for it may be the one being typed; of several at the nearest."""
    keyword = _keyword(anchor.header)
    name = anchor.name.rpartition(".")[2]
    ranked: list[tuple[int, int, int]] = []
    for number in range(lines.line_count):
        start, end = lines.line_span(number)
        header = _HEADER.match(text, start, end)
        if number in taken or header is None or header[1].strip() != keyword:
            continue
        is_class = keyword == "class"
        if text[start:end].strip() == anchor.header:
            rank = 0
        elif is_class and re.match(rf"{re.escape(name)}\b", text[header.end() : end]):
            rank = 1
        elif damaged:
            rank = 2
        else:
            continue
        offset = header.end() if is_class else start + len(text[start:end]) - len(text[start:end].lstrip())
        ranked.append((rank, abs(number - anchor.line), offset))
    return min(ranked)[2] if ranked else None


def _keyword(header: str) -> str:
    match = _HEADER.match(header)
    return match[1].strip() if match is not None else ""
