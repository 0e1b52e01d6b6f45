"""Diagnostics as each editor gets them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lsprotocol import types

from tests.lsp.editor import Editor, editor

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT = "import torch\n\nbad_call()\nodd_call()\n"


async def test_each_editor_gets_them_one_way_only(each_editor: Editor) -> None:
    capabilities = each_editor.client.capabilities
    can_be_asked_again = capabilities.workspace.diagnostics is not None
    assert each_editor.pulls == (capabilities.text_document.diagnostic is not None and can_be_asked_again)
    uri = each_editor.open("one_way.py", TEXT)
    found = await each_editor.diagnostics(uri)
    assert [(d.code, d.severity, d.range.start.line) for d in found] == [
        ("GS901", types.DiagnosticSeverity.Error, 2),
        ("GS902", types.DiagnosticSeverity.Warning, 3),
    ]
    assert (uri in each_editor.published) != each_editor.pulls


async def test_what_an_editor_cannot_show_is_left_out(each_editor: Editor) -> None:
    text_document = each_editor.client.capabilities.text_document
    shown = text_document.diagnostic or text_document.publish_diagnostics
    pushed = text_document.publish_diagnostics
    uri = each_editor.open("left_out.py", TEXT)
    found = (await each_editor.diagnostics(uri))[0]
    related = bool(shown.related_information or pushed.related_information)
    assert (found.related_information is not None) == related
    described = bool(shown.code_description_support or pushed.code_description_support)
    assert (found.code_description is not None) == described
    assert found.source == "gradsense"
    assert list(found.tags or ()) == [types.DiagnosticTag.Unnecessary]
    assert found.data["version"] == 1
    assert found.data["key"] == "bad_call:1"
    assert found.data["fixes"][0]["safety"] == "safe"


async def test_columns_are_in_the_editor_s_units(each_editor: Editor) -> None:
    encoding = each_editor.result.capabilities.position_encoding
    uri = each_editor.open("units.py", "x = 'é😀'; bad_call()\n")
    found = (await each_editor.diagnostics(uri))[0]
    before = {"utf-8": 5 + 2 + 4 + 3, "utf-16": 5 + 1 + 2 + 3, "utf-32": 5 + 1 + 1 + 3}[encoding]
    assert found.range.start == types.Position(0, before)
    assert found.range.end == types.Position(0, before + len("bad_call()"))


async def test_an_edit_behind_an_emoji_lands_where_the_editor_means(each_editor: Editor) -> None:
    encoding = each_editor.result.capabilities.position_encoding
    uri = each_editor.open("behind.py", "x = 1\f\n'é😀'; good_call()\n")
    before = {"utf-8": 1 + 2 + 4 + 3, "utf-16": 1 + 1 + 2 + 3, "utf-32": 1 + 1 + 1 + 3}[encoding]
    each_editor.edit(uri, 2, (1, before), (1, before + 4), "bad")
    found = await each_editor.diagnostics(uri, lambda found: len(found) == 1)
    assert found[0].range == types.Range(types.Position(1, before), types.Position(1, before + 10))


async def test_a_burst_of_edits_ends_with_the_last_text(each_editor: Editor) -> None:
    uri = each_editor.open("burst.py", "")
    for i in range(50):
        each_editor.edit(uri, 2 + i, (0, 0), (0, 0), "bad_call()\n")
    found = await each_editor.diagnostics(uri, lambda found: len(found) == 50)
    assert found[0].data["version"] == 51
    if not each_editor.pulls:
        versions = [max((d.data["version"] for d in p.diagnostics), default=1) for p in each_editor.published[uri]]
        assert versions == sorted(versions)


async def test_pushed_diagnostics_are_cleared_on_close(neovim: Editor) -> None:
    uri = neovim.open("closed.py", TEXT)
    await neovim.diagnostics(uri)
    neovim.close(uri)
    await neovim.until(lambda: not neovim.last(uri).diagnostics)


async def test_a_document_that_is_not_python_has_none(each_editor: Editor) -> None:
    uri = each_editor.open("notes.md", TEXT, language="markdown")
    other = each_editor.open("after_notes.py", TEXT)
    assert await each_editor.diagnostics(other)
    if each_editor.pulls:
        assert not (await each_editor.pull(uri)).items
    else:
        assert each_editor.last(uri) is None


async def test_a_result_that_has_not_changed_is_not_sent_again(vscode: Editor) -> None:
    uri = vscode.open("unchanged.py", TEXT)
    first = await vscode.pull(uri)
    again = await vscode.pull(uri, first.result_id)
    assert again.kind == types.DocumentDiagnosticReportKind.Unchanged
    vscode.edit(uri, 2, (2, 0), (3, 0), "")
    assert [d.code for d in (await vscode.pull(uri, first.result_id)).items] == ["GS902"]


async def test_answers_to_questions_come_later(each_editor: Editor) -> None:
    (each_editor.folder / "pyproject.toml").write_text('[tool.gradsense]\nlightning-version = "2.4"\n')
    uri = each_editor.open("asks.py", "ask_world()\nodd_call()\n")
    found = await each_editor.diagnostics(uri, lambda found: len(found) == 2)
    assert {d.code for d in found} == {"GS901", "GS902"}


async def test_an_edit_of_one_file_refreshes_another(each_editor: Editor) -> None:
    (each_editor.folder / "other.py").write_text("right = 1\n")
    uri = each_editor.open("reader.py", "import other\n")
    assert not await each_editor.diagnostics(uri)
    other = each_editor.open("other.py", "right = 1\n")
    each_editor.edit(other, 2, (0, 0), (0, 5), "\n'é'; wrong")
    found = await each_editor.diagnostics(uri, lambda found: len(found) == 1)
    if found[0].related_information:
        location = found[0].related_information[0].location
        assert location.uri == other
        assert location.range.start.line == 1


async def test_a_crash_of_the_engine_is_logged_and_survived(each_editor: Editor) -> None:
    messages = len(each_editor.messages)
    uri = each_editor.open("crash.py", "crash()\n")
    assert not await each_editor.diagnostics(uri)
    await each_editor.until(lambda: any("scripted crash" in message for message in each_editor.logged))
    each_editor.edit(uri, 2, (0, 0), (0, 5), "bad_call")
    assert len(await each_editor.diagnostics(uri, lambda found: len(found) == 1)) == 1
    assert len(each_editor.messages) == messages


async def test_a_slow_burst_never_shows_an_older_version(neovim: Editor) -> None:
    uri = neovim.open("stale.py", "bad_call()\n")
    await neovim.diagnostics(uri)
    for version in range(2, 12):
        neovim.edit(uri, version, (0, 0), (0, 0), "\n")
        await asyncio.sleep(0)
    await neovim.diagnostics(uri, lambda found: found[0].range.start.line == 10)
    lines = [p.diagnostics[0].range.start.line for p in neovim.published[uri]]
    assert lines == sorted(lines)


async def test_a_document_of_another_language_has_none(each_editor: Editor) -> None:
    uri = each_editor.open("language.py", TEXT)
    assert await each_editor.diagnostics(uri, bool)
    each_editor.close(uri)
    each_editor.open("language.py", TEXT, 2, "plaintext")
    assert not await each_editor.diagnostics(uri, lambda found: not found)
    each_editor.close(uri)
    each_editor.open("language.py", TEXT, 3)
    assert await each_editor.diagnostics(uri, bool)


@pytest.mark.asyncio(loop_scope="function")
async def test_results_of_another_process_are_not_taken_for_this_one_s(tmp_path: Path) -> None:
    states = []
    for _ in range(2):
        async with editor("vscode", tmp_path) as running:
            uri = running.open("a.py", TEXT)
            states.append((await running.pull(uri, states[0] if states else None)).result_id)
    assert states[0] != states[1]
