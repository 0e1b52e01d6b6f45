"""What a file has to probe, for a client that lets its user choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradsense.findings import Span
from gradsense.probe.plan import SCRIPT

if TYPE_CHECKING:
    from gradsense.lsp.analyses import Analysed
    from gradsense.lsp.language_server import Server

TARGETS_REQUEST = "gradsense/targets"


class Targets:
    """The request `gradsense/targets`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def register(self) -> None:
        self._server.handle(TARGETS_REQUEST, self.targets)

    async def targets(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """The model classes of a document in its order, then the script, if it trains anything; of a notebook's cell
        those in all cells.

        Each with the `target` to ask a probe for, its `kind`, the `line` (0-based) that it begins in, and the words on
        its last `result`, if there is one.
        """
        analysed = await self._server.analyses.current(str(params["uri"]))
        if analysed is None:
            return []
        classes = [
            self._target(analysed, model.qualname, model.kind, model.span.start) for model in analysed.targets.classes
        ]
        loops = () if analysed.source.is_notebook else analysed.targets.loops[:1]
        scripts = [self._target(analysed, SCRIPT, "script", loop.start) for loop in loops]
        return classes + scripts

    def _target(self, analysed: Analysed, target: str, kind: str, offset: int) -> dict[str, Any]:
        uri, where = analysed.source.locate(Span(offset, offset), self._server.client.encoding)
        result = self._server.probes.words(uri, target)
        return {"target": target, "kind": kind, "line": where.start.line, "result": result}
