"""The lens above each model class, and above a script's training loops, that runs the probe and tells its last
result.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lsprotocol import types

from gradsense.findings import Span
from gradsense.lsp.analyses import Analysed
from gradsense.probe.plan import SCRIPT

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

TITLE = "▷ Run probe"
LOOP_TITLE = "▷ Probe this loop"


class Lenses:
    """`textDocument/codeLens`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._names: dict[str, list[str]] = {}
        """By document, the model classes of its last text without damage."""
        self._loops: dict[str, list[str]] = {}
        """The same for the headers of its training loops."""

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
        lenses = [self._lens(analysed, qualname, offset, TITLE) for qualname, offset in self._classes(analysed)]
        return lenses + [self._lens(analysed, SCRIPT, offset, LOOP_TITLE) for offset in self._loops_of(analysed)]

    def refresh(self) -> None:
        """Have the client ask again."""
        if self._server.client.refreshes_lenses:
            self._server.request(types.WORKSPACE_CODE_LENS_REFRESH)

    def closed(self, uri: str) -> None:
        self._names.pop(uri, None)
        self._loops.pop(uri, None)

    def _classes(self, analysed: Analysed) -> list[tuple[str, int]]:
        """The model classes, and where their names are.

        In a damaged text (half an import, half a header) those that can't be told are taken from the text
        before: without their lenses, the lines below would jump.
        """
        uri, text = analysed.source.uri, analysed.source.text
        found = {model.qualname: model.span.start for model in analysed.targets.classes}
        missing = [name for name in self._names.get(uri, ()) if name not in found]
        if not missing or not _is_damaged(text):
            self._names[uri] = list(found)
            return list(found.items())
        for name in missing:
            simple = name.rpartition(".")[2]
            header = re.search(rf"^[ \t]*class[ \t]+({re.escape(simple)})\b", text, re.MULTILINE)
            if header is not None:
                found[name] = header.start(1)
        return sorted(found.items(), key=lambda item: item[1])

    def _loops_of(self, analysed: Analysed) -> list[int]:
        """Where the training loops begin; in a damaged text those of the text before as well, by their headers."""
        uri, text = analysed.source.uri, analysed.source.text
        found = {text[loop.start :].partition("\n")[0].rstrip(): loop.start for loop in analysed.targets.loops}
        missing = [header for header in self._loops.get(uri, ()) if header not in found]
        if not missing or not _is_damaged(text):
            self._loops[uri] = list(found)
            return [loop.start for loop in analysed.targets.loops]
        for header in missing:
            line = re.search(rf"^[ \t]*({re.escape(header)})[ \t]*$", text, re.MULTILINE)
            if line is not None:
                found[header] = line.start(1)
        return sorted(found.values())

    def _lens(self, analysed: Analysed, qualname: str, offset: int, action: str) -> types.CodeLens:
        uri, where = analysed.source.locate(Span(offset, offset), self._server.client.encoding)
        result = self._server.probes.words(uri, qualname)
        title = f"{action} · {result}" if result else action
        return types.CodeLens(where, self._server.probes.command_for(uri, qualname, title))


def _is_damaged(text: str) -> bool:
    """Whether any of a text doesn't parse."""
    from gradsense.source.blocks import read_document

    pending = [tree for _, tree in read_document(text).blocks]
    while pending:
        tree = pending.pop()
        if tree.block.hole is not None:
            return True
        pending += (child for suite in tree.suites for _, child in suite.children)
    return False
