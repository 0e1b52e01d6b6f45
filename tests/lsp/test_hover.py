"""Hover and `gradsense/explain`."""

from __future__ import annotations

import pytest
from lsprotocol import types

from gradsense.lsp.hover import brief
from gradsense.rules.base import Rule
from gradsense.rules.pages import page_url
from gradsense.rules.registry import all_rules
from tests.lsp.editor import Editor


async def hover(editor: Editor, uri: str, line: int, character: int) -> types.Hover | None:
    place = types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(line, character))
    return await editor.ask(types.TEXT_DOCUMENT_HOVER, place)


PAGE = "**GS901 bad-call**\n\nAbout bad-call.\n\n## What it does"
URL = page_url("bad-call")


@pytest.mark.asyncio(loop_scope="session")
async def test_a_finding_tells_its_rule_in_brief(each_editor: Editor) -> None:
    uri = each_editor.open("hover.py", "x = 1\nbad_call()\n")
    told = await hover(each_editor, uri, 1, 3)
    brief = f"**GS901 bad-call**\n\nAbout bad-call.\n\nNothing works.\n\n[Rule page]({URL})"
    assert told.contents == types.MarkupContent(types.MarkupKind.Markdown, brief)
    assert told.range == types.Range(types.Position(1, 0), types.Position(1, 10))
    assert await hover(each_editor, uri, 0, 2) is None


def test_a_client_without_markdown_gets_plain_words() -> None:
    (rule,) = (rule for rule in all_rules() if rule.code == "GS401")
    lines = brief(rule, markdown=False).split("\n\n")
    assert lines[0] == "GS401 gradients-cleared-before-step"
    assert lines[-1] == page_url("gradients-cleared-before-step")


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_no_rule_fills_the_editor(rule: type[Rule]) -> None:
    title, summary, why, link = brief(rule, markdown=True).split("\n\n")
    assert title == f"**{rule.code} {rule.name}**"
    assert summary == rule.summary
    assert "\n" not in why
    assert len(why) < 500
    assert link.endswith(f"{rule.name}.md)")


@pytest.mark.asyncio(loop_scope="session")
async def test_a_suppression_shows_the_whole_page(vscode: Editor) -> None:
    uri = vscode.open("suppressed.py", "bad_call()  # gradsense: ignore[GS902, bad-call]\n")
    told = await hover(vscode, uri, 0, 42)
    assert told.contents.value.startswith(PAGE)
    assert (told.range.start.character, told.range.end.character) == (39, 47)
    assert (await hover(vscode, uri, 0, 33)).contents.value.startswith("**GS902 odd-call**")
    assert await hover(vscode, uri, 0, 20) is None


@pytest.mark.parametrize("rule", ["GS901", "bad-call"])
@pytest.mark.asyncio(loop_scope="session")
async def test_explain_takes_code_and_name(vscode: Editor, rule: str) -> None:
    told = await vscode.ask_plain("gradsense/explain", {"rule": rule})
    assert told["markdown"].startswith(PAGE)


@pytest.mark.asyncio(loop_scope="session")
async def test_explain_says_that_there_is_no_such_rule(vscode: Editor) -> None:
    assert "No rule is called `GS000`" in (await vscode.ask_plain("gradsense/explain", {"rule": "GS000"}))["markdown"]


OPTIMIZER = """\
import torch

optimizer = torch.optim.SGD(torch.nn.Linear(4, 1).parameters(), lr=0.1)
bad_call(optimizer)
"""


@pytest.mark.asyncio(loop_scope="session")
async def test_an_optimizer_tells_what_is_known_of_it(each_editor: Editor) -> None:
    uri = each_editor.open("optimizer.py", OPTIMIZER)
    told = await hover(each_editor, uri, 2, 3)
    assert told.contents.value.startswith("```text\noptimizer: SGD(lr=0.1), built on line 3\nholds")
    assert told.range == types.Range(types.Position(2, 0), types.Position(2, 9))
