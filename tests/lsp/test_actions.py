"""The light bulb: fixes, fix all, suppressions, the rule's page."""

from __future__ import annotations

from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.editor import Editor

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT = "import torch\n\nbad_call()\nodd_call()\nbad_call()\n"


def edits_of(action: dict[str, Any]) -> list[dict[str, Any]]:
    edit = action["edit"]
    if "documentChanges" in edit:
        return [each for change in edit["documentChanges"] for each in change["edits"]]
    return [each for edits in edit["changes"].values() for each in edits]


def applied(text: str, action: dict[str, Any]) -> str:
    """The text with an action's edits made: ASCII texts, lines that end in LF."""
    lines = text.split("\n")

    def offset(place: dict[str, int]) -> int:
        return sum(len(line) + 1 for line in lines[: place["line"]]) + place["character"]

    for edit in sorted(edits_of(action), key=lambda e: offset(e["range"]["start"]), reverse=True):
        start, end = offset(edit["range"]["start"]), offset(edit["range"]["end"])
        text = text[:start] + edit["newText"] + text[end:]
    return text


def by_title(actions: list[dict[str, Any]], title: str) -> dict[str, Any]:
    return next(action for action in actions if action["title"] == title)


def resolves(editor: Editor) -> bool:
    return editor.client.capabilities.text_document.code_action.resolve_support is not None


def makes_files(editor: Editor) -> bool:
    """Whether a project without a configuration can be given one."""
    edits = editor.client.capabilities.workspace.workspace_edit
    return bool(edits and edits.document_changes and edits.resource_operations)


async def test_a_safe_fix_is_preferred_and_others_are_not(each_editor: Editor) -> None:
    uri = each_editor.open("fixes.py", TEXT)
    found = await each_editor.diagnostics(uri)
    safe = (await each_editor.actions(uri, [found[0]]))[0]
    assert safe["title"] == "Call `good_call` in place of `bad_call`"
    assert safe["isPreferred"]
    assert applied(TEXT, safe) == TEXT.replace("bad_call", "good_call", 1)
    unsafe = (await each_editor.actions(uri, [found[1]]))[0]
    assert unsafe["title"] == "Call `good_call` in place of `odd_call`"
    assert not unsafe.get("isPreferred")


async def test_actions_are_found_by_place_alone(each_editor: Editor) -> None:
    uri = each_editor.open("by_place.py", TEXT)
    await each_editor.diagnostics(uri)
    titles = [action["title"] for action in await each_editor.actions(uri, where=(3, 2), only=["quickfix"])]
    assert titles == [
        "Call `good_call` in place of `odd_call`",
        "Ignore odd-call on this line",
        "Ignore odd-call in this file",
        *(["Ignore odd-call in this project"] if makes_files(each_editor) else []),
        "Explain GS902 odd-call",
    ]


async def test_edits_are_made_when_an_action_is_chosen_where_the_editor_can_wait(each_editor: Editor) -> None:
    uri = each_editor.open("lazy.py", TEXT)
    actions = await each_editor.actions(uri, where=(3, 2), only=["quickfix"], resolve=False)
    editing = [action for action in actions if "command" not in action]
    assert [action["title"] for action in editing] == [
        "Call `good_call` in place of `odd_call`",
        "Ignore odd-call on this line",
        "Ignore odd-call in this file",
        *(["Ignore odd-call in this project"] if makes_files(each_editor) else []),
    ]
    assert all(("edit" not in action) == resolves(each_editor) for action in editing)


async def test_all_safe_fixes_of_one_rule(each_editor: Editor) -> None:
    uri = each_editor.open("of_rule.py", TEXT)
    found = await each_editor.diagnostics(uri)
    action = by_title(await each_editor.actions(uri, [found[0]]), "Fix all bad-call in this file")
    assert applied(TEXT, action) == TEXT.replace("bad_call", "good_call")
    assert not action.get("isPreferred")
    assert "Fix all odd-call in this file" not in [a["title"] for a in await each_editor.actions(uri, [found[1]])]
    each_editor.edit(uri, 2, (4, 0), (5, 0), "")
    found = await each_editor.diagnostics(uri)
    assert "Fix all bad-call in this file" not in [a["title"] for a in await each_editor.actions(uri, [found[0]])]


async def test_what_is_chosen_late_is_done_to_the_text_as_it_is_then(vscode: Editor) -> None:
    uri = vscode.open("late.py", TEXT)
    offered = await vscode.actions(uri, await vscode.diagnostics(uri), resolve=False)
    fix, line = offered[0], by_title(offered, "Ignore bad-call on this line")
    vscode.edit(uri, 2, (0, 0), (0, 0), "# one\n")
    text = f"# one\n{TEXT}"
    assert applied(text, await vscode.resolved(fix)) == text.replace("bad_call", "good_call", 1)
    ignored = text.replace("bad_call()", "bad_call()  # gradsense: ignore[bad-call]", 1)
    assert applied(text, await vscode.resolved(line)) == ignored
    vscode.edit(uri, 3, (1, 0), (6, 0), "")
    for action in (fix, line):
        assert "edit" not in await vscode.resolved(action)


async def test_edits_carry_the_version_where_the_editor_takes_it(each_editor: Editor) -> None:
    uri = each_editor.open("versioned.py", TEXT, version=7)
    action = (await each_editor.actions(uri, await each_editor.diagnostics(uri)))[0]
    workspace_edit = each_editor.client.capabilities.workspace.workspace_edit
    if workspace_edit is not None and workspace_edit.document_changes:
        assert action["edit"]["documentChanges"][0]["textDocument"] == {"uri": uri, "version": 7}
    else:
        assert list(action["edit"]["changes"]) == [uri]


async def test_fix_all_takes_safe_fixes_only(each_editor: Editor) -> None:
    uri = each_editor.open("fix_all.py", TEXT)
    await each_editor.diagnostics(uri)
    (action,) = await each_editor.actions(uri, where=(0, 0), only=["source.fixAll"], resolve=False)
    assert action["kind"] == "source.fixAll.gradsense"
    assert ("edit" not in action) == resolves(each_editor)
    action = await each_editor.resolved(action)
    assert applied(TEXT, action) == TEXT.replace("bad_call", "good_call")


@pytest.mark.parametrize("only", [["source"], ["source.fixAll"], ["source.fixAll.gradsense"], None])
async def test_fix_all_is_found_by_each_of_its_kinds(vscode: Editor, only: list[str] | None) -> None:
    uri = vscode.open("kinds.py", TEXT)
    kinds = {action.get("kind") for action in await vscode.actions(uri, where=(0, 0), only=only)}
    assert kinds == {"source.fixAll.gradsense"}


@pytest.mark.parametrize("only", [["refactor"], ["source.organizeImports"], ["source.fixAll.ruff"], ["quick"]])
async def test_other_kinds_get_nothing(vscode: Editor, only: list[str]) -> None:
    uri = vscode.open("other_kinds.py", TEXT)
    assert await vscode.actions(uri, await vscode.diagnostics(uri), only=only) == []


async def test_a_fix_for_an_older_version_is_found_again(each_editor: Editor) -> None:
    uri = each_editor.open("older.py", TEXT)
    old = await each_editor.diagnostics(uri)
    each_editor.edit(uri, 2, (0, 0), (0, 0), "# one\n# two\n")
    action = (await each_editor.actions(uri, [old[1]]))[0]
    if each_editor.client.capabilities.text_document.publish_diagnostics.data_support or each_editor.pulls:
        text = "# one\n# two\n" + TEXT
        assert applied(text, action) == text.replace("odd_call", "good_call")


async def test_a_fix_asked_for_with_the_last_keystroke_is_of_the_text_with_it(each_editor: Editor) -> None:
    uri = each_editor.open("at_once.py", "import torch\n\n")
    assert not await each_editor.diagnostics(uri)
    each_editor.edit(uri, 2, (1, 0), (1, 0), "bad_call()\n")
    action = (await each_editor.actions(uri, where=(1, 3)))[0]
    assert applied("import torch\nbad_call()\n\n", action) == "import torch\ngood_call()\n\n"


async def test_a_fix_for_what_is_gone_is_not_offered(each_editor: Editor) -> None:
    uri = each_editor.open("gone.py", TEXT)
    old = await each_editor.diagnostics(uri)
    each_editor.edit(uri, 2, (3, 0), (4, 0), "")
    assert await each_editor.actions(uri, [old[1]], only=["quickfix"]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bad_call()\n", "bad_call()  # gradsense: ignore[bad-call]\n"),
        ("bad_call()", "bad_call()  # gradsense: ignore[bad-call]"),
        ("bad_call()  # why\n", "bad_call()  # why  # gradsense: ignore[bad-call]\n"),
        (
            "bad_call()  # gradsense: ignore[odd-call]\n",
            "bad_call()  # gradsense: ignore[odd-call, bad-call]\n",
        ),
        (
            "x = (\n  bad_call(),\n  '''\n''',\n)\ny\n",
            "x = (\n  bad_call(),\n  '''\n''',\n)  # gradsense: ignore[bad-call]\ny\n",
        ),
        ("x = bad_call() + \\\n  1\n", "x = bad_call() + \\\n  1  # gradsense: ignore[bad-call]\n"),
    ],
)
async def test_suppress_on_the_statement_s_last_line(vscode: Editor, text: str, expected: str) -> None:
    uri = vscode.open("suppress.py", text)
    found = await vscode.diagnostics(uri)
    action = by_title(await vscode.actions(uri, found), "Ignore bad-call on this line")
    assert applied(text, action) == expected
    vscode.close(uri)
    uri = vscode.open("suppress.py", expected)
    assert await vscode.diagnostics(uri) == ()
    vscode.close(uri)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bad_call()\n", "# gradsense: ignore-file[bad-call]\nbad_call()\n"),
        (
            "#!/usr/bin/env python\n# coding: utf-8\nbad_call()\n",
            "#!/usr/bin/env python\n# coding: utf-8\n# gradsense: ignore-file[bad-call]\nbad_call()\n",
        ),
        (
            "# gradsense: ignore-file[odd-call]\nbad_call()\n",
            "# gradsense: ignore-file[odd-call, bad-call]\nbad_call()\n",
        ),
    ],
)
async def test_suppress_in_the_file(vscode: Editor, text: str, expected: str) -> None:
    uri = vscode.open("suppress_file.py", text)
    action = by_title(await vscode.actions(uri, await vscode.diagnostics(uri)), "Ignore bad-call in this file")
    assert applied(text, action) == expected
    vscode.close(uri)


async def test_show_rule_is_the_extension_s_command_or_ours(each_editor: Editor) -> None:
    uri = each_editor.open("show_rule.py", TEXT)
    action = by_title(await each_editor.actions(uri, await each_editor.diagnostics(uri)), "Explain GS901 bad-call")
    vscode = each_editor.client.capabilities.notebook_document is not None
    assert action["command"]["command"] == ("gradsense.explainRule" if vscode else "gradsense.explain")
    assert action["command"]["arguments"] == ["GS901"]
    params = types.ExecuteCommandParams("gradsense.explain", ["GS901"])
    await each_editor.ask(types.WORKSPACE_EXECUTE_COMMAND, params)
    window = each_editor.client.capabilities.window
    if window.show_document is not None and window.show_document.support:
        await each_editor.until(lambda: bool(each_editor.shown))
        assert each_editor.shown[-1].uri.endswith("bad-call.md")
        assert each_editor.shown[-1].external
    else:
        await each_editor.until(lambda: bool(each_editor.messages))
        assert "About bad-call" in each_editor.messages[-1].message
