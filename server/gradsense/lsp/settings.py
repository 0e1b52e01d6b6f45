"""The user's settings of the editor, which are about what is shown: asked of the client, by file, and kept until they
change. A client that can't be asked may send them with `initialize`, and when they change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server

SECTION = "gradsense.inlayHints"

Shown = Literal["all", "partial", "off"]


class HintSettings(NamedTuple):
    """Which inlay hints are shown."""

    optimizer_coverage: Shown = "partial"
    probe: bool = True


class Settings:
    """`workspace/configuration` and `workspace/didChangeConfiguration`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._known: dict[str, HintSettings] = {}

    def register(self) -> None:
        self._server.handle(types.WORKSPACE_DID_CHANGE_CONFIGURATION, self.changed)

    def watch(self) -> None:
        """Ask the client to tell when a setting changes."""
        if self._server.client.tells_settings:
            options = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
            registration = types.Registration("gradsense-settings", types.WORKSPACE_DID_CHANGE_CONFIGURATION, options)
            self._server.request(types.CLIENT_REGISTER_CAPABILITY, types.RegistrationParams([registration]))

    async def changed(self, params: types.DidChangeConfigurationParams) -> None:
        """They are others now. Some clients send them along, and others only that."""
        sent = params.settings
        if isinstance(sent, dict) and isinstance(own := sent.get("gradsense"), dict):
            self._server.client.settings = {**self._server.client.settings, **own}
        self._known.clear()
        self._server.hints.refresh()

    async def hints_for(self, uri: str) -> HintSettings:
        """What the user wants to see in a file."""
        if uri not in self._known:
            self._known[uri] = _read(await self._asked(uri))
        return self._known[uri]

    async def _asked(self, uri: str) -> Any:
        client = self._server.client
        if client.gives_settings:
            params = types.ConfigurationParams([types.ConfigurationItem(scope_uri=uri, section=SECTION)])
            try:
                (found,) = await self._server.workspace_configuration_async(params)
            except (JsonRpcException, ValueError):
                found = None
            if isinstance(found, dict):
                return found
        return client.settings.get("inlayHints")

    def closed(self, uri: str) -> None:
        self._known.pop(uri, None)


def _read(found: Any) -> HintSettings:
    """Settings as they come: what isn't one of ours counts as not said."""
    found = found if isinstance(found, dict) else {}
    shown, probe = found.get("optimizerCoverage"), found.get("probe")
    return HintSettings(
        cast(Shown, shown) if shown in ("all", "partial", "off") else HintSettings().optimizer_coverage,
        probe if isinstance(probe, bool) else HintSettings().probe,
    )
