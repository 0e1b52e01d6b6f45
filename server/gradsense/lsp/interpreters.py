"""The interpreters that the client has chosen, and which one a probe would run with.

A choice may change while the server runs: what was read of environments is read again, and the process that waits for
the next probe is replaced.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradsense.lsp.convert import is_file, path_of

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

CHOICE_NOTIFICATION = "gradsense/interpreters"
ASKED_REQUEST = "gradsense/interpreter"


class Interpreters:
    """The notification `gradsense/interpreters` and the request `gradsense/interpreter`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def register(self) -> None:
        self._server.handle(CHOICE_NOTIFICATION, self.choose)
        self._server.handle(ASKED_REQUEST, self.asked)

    async def choose(self, params: dict[str, Any]) -> None:
        """`interpreter` is the choice for files outside of `folders`, a list of `uri` and `interpreter`."""
        if self._server.client.choose(params):
            self._server.environments_changed()
            self._server.probes.environments_changed()

    async def asked(self, params: dict[str, Any]) -> dict[str, Any]:
        """What a probe of a document would run with, or why there is nothing; told by files, without running any.

        `chosen`: whether it is what the client has chosen.
        """
        await self._server.engine_imported()
        from gradsense.workspace.interpreters import CHOSEN

        interpreter = self._server.session.interpreter_for(path_of(str(params["uri"])))
        path = str(interpreter.path) if interpreter.path is not None else None
        chosen = path is not None and interpreter.why == CHOSEN
        return {"interpreter": path, "why": interpreter.why, "tried": interpreter.tried, "chosen": chosen}


def by_folder(options: dict[str, Any]) -> tuple[str | None, dict[Path, str]]:
    """The choice for files outside of all folders, and those of the folders, as a client names them."""
    folders = options.get("folders")
    chosen: dict[Path, str] = {}
    for each in folders if isinstance(folders, list) else ():
        uri, interpreter = (each.get("uri"), each.get("interpreter")) if isinstance(each, dict) else (None, None)
        if isinstance(uri, str) and is_file(uri) and isinstance(interpreter, str) and interpreter:
            chosen[Path(path_of(uri))] = interpreter
    interpreter = options.get("interpreter")
    return (interpreter if isinstance(interpreter, str) and interpreter else None), chosen
