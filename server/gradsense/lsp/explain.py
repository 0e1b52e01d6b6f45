"""What a rule says: for clients that ask, and as a command for those that don't."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from lsprotocol import types

if TYPE_CHECKING:
    from gradsense.lsp.language_server import Server
    from gradsense.rules.base import Rule

EXPLAIN_REQUEST = "gradsense/explain"
RULES_REQUEST = "gradsense/rules"
EXPLAIN_COMMAND = "gradsense.explain"
CLIENT_EXPLAIN_COMMAND = "gradsense.explainRule"

Command = Callable[[list[Any], "int | str | None"], Awaitable[Any]]


def markdown_of(rule: type[Rule]) -> str:
    """What a rule says, under its name."""
    return f"**{rule.code} {rule.name}**\n\n{rule.documentation.strip()}"


class Explain:
    """The requests `gradsense/explain` and `gradsense/rules`, and the command `gradsense.explain`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.commands: dict[str, Command] = {EXPLAIN_COMMAND: self.command}

    def register(self) -> None:
        self._server.handle(EXPLAIN_REQUEST, self.request)
        self._server.handle(RULES_REQUEST, self.rules)

    def command_for(self, code: str, title: str) -> types.Command:
        """The command of an action that shows a rule."""
        name = CLIENT_EXPLAIN_COMMAND if self._server.client.runs_commands else EXPLAIN_COMMAND
        return types.Command(title, name, arguments=[code])

    async def request(self, params: dict[str, Any]) -> dict[str, str]:
        await self._server.engine_imported()
        from gradsense.rules.registry import rule_of

        name = str(params.get("rule", ""))
        rule = rule_of(name)
        return {"markdown": markdown_of(rule) if rule else _no_rule(name)}

    async def rules(self, params: dict[str, Any]) -> list[dict[str, str]]:
        """Every rule, in order of code, with what it says in one line."""
        await self._server.engine_imported()
        from gradsense.rules.registry import all_rules

        return [{"code": rule.code, "name": rule.name, "summary": rule.summary} for rule in all_rules()]

    async def command(self, arguments: list[Any], token: int | str | None) -> None:
        """Open the rule's page; where the client can't, tell what it says."""
        await self._server.engine_imported()
        from gradsense.rules.pages import page_url
        from gradsense.rules.registry import rule_of

        name = str(arguments[0]) if arguments else ""
        rule = rule_of(name)
        if rule is not None and self._server.client.shows_documents:
            params = types.ShowDocumentParams(page_url(rule.name), external=True)
            self._server.request(types.WINDOW_SHOW_DOCUMENT, params)
            return
        text = markdown_of(rule) if rule else _no_rule(name)
        self._server.window_show_message(types.ShowMessageParams(types.MessageType.Info, text))


def _no_rule(name: str) -> str:
    return f"No rule is called `{name}`. `gradsense rules` lists them."
