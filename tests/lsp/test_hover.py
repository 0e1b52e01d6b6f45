"""Hover and `gradsense/explain`."""

from __future__ import annotations

import pytest
from lsprotocol import types

from tests.lsp.editor import Editor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def hover(editor: Editor, uri: str, line: int, character: int) -> types.Hover | None:
    place = types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(line, character))
    return await editor.ask(types.TEXT_DOCUMENT_HOVER, place)


async def test_a_finding_tells_its_rule(each_editor: Editor) -> None:
    uri = each_editor.open("hover.py", "x = 1\nbad_call()\n")
    told = await hover(each_editor, uri, 1, 3)
    assert told.contents.value == "**GS901 bad-call**\n\n# About bad-call"
    assert told.range == types.Range(types.Position(1, 0), types.Position(1, 10))
    assert await hover(each_editor, uri, 0, 2) is None


async def test_a_suppression_tells_its_rule(vscode: Editor) -> None:
    uri = vscode.open("suppressed.py", "bad_call()  # gradsense: ignore[GS902, bad-call]\n")
    told = await hover(vscode, uri, 0, 42)
    assert told.contents.value == "**GS901 bad-call**\n\n# About bad-call"
    assert (told.range.start.character, told.range.end.character) == (39, 47)
    assert (await hover(vscode, uri, 0, 33)).contents.value.startswith("**GS902 odd-call**")
    assert await hover(vscode, uri, 0, 20) is None


@pytest.mark.parametrize("rule", ["GS901", "bad-call"])
async def test_explain_takes_code_and_name(vscode: Editor, rule: str) -> None:
    told = await vscode.ask_plain("gradsense/explain", {"rule": rule})
    assert told == {"markdown": "**GS901 bad-call**\n\n# About bad-call"}


async def test_explain_says_that_there_is_no_such_rule(vscode: Editor) -> None:
    assert (
        "No rule is called `GS000`"
        in (await vscode.ask_plain("gradsense/explain", {"rule": "GS000"}))["markdown"]
    )
