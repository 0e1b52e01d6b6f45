"""Notebooks: the cells are one program, each finding lies in its cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.editor import Editor
from tests.lsp.test_actions import applied, by_title

pytestmark = pytest.mark.asyncio(loop_scope="session")


def cell(editor: Editor, name: str, text: str, language: str = "python") -> types.TextDocumentItem:
    return types.TextDocumentItem(editor.uri(name) + "#cell", language, 1, text)


def opened(editor: Editor, name: str, cells: list[types.TextDocumentItem]) -> str:
    uri = editor.uri(name)
    kinds = types.NotebookCellKind
    notebook = types.NotebookDocument(
        uri,
        "jupyter-notebook",
        1,
        [types.NotebookCell(kinds.Code if c.language_id == "python" else kinds.Markup, c.uri) for c in cells],
    )
    editor.client.notebook_document_did_open(types.DidOpenNotebookDocumentParams(notebook, cells))
    return uri


async def placed(editor: Editor, cell: types.TextDocumentItem, expected: Sequence[tuple[int, int]]) -> None:
    """Wait for an editor, of those that are told as of those that ask, to have findings at these places."""

    def are_expected(found: Sequence[types.Diagnostic]) -> bool:
        return [(each.range.start.line, each.range.start.character) for each in found] == list(expected)

    await editor.diagnostics(cell.uri, are_expected)


def texts(*edits: tuple[types.TextDocumentItem, int, types.Range, str]) -> types.NotebookDocumentCellChanges:
    """Edits of cells, each with the version that it makes."""
    return types.NotebookDocumentCellChanges(
        text_content=[
            types.NotebookDocumentCellContentChanges(
                types.VersionedTextDocumentIdentifier(uri=cell.uri, version=version),
                [types.TextDocumentContentChangePartial(where, text)],
            )
            for cell, version, where, text in edits
        ]
    )


def structure(
    start: int,
    deleted: int,
    inserted: Sequence[types.TextDocumentItem] = (),
    *,
    opened: Sequence[types.TextDocumentItem] = (),
    closed: Sequence[types.TextDocumentItem] = (),
) -> types.NotebookDocumentCellChanges:
    """Cells in the place of others; `opened` and `closed` are those that weren't there before, and no longer are."""
    code = types.NotebookCellKind.Code
    array = types.NotebookCellArrayChange(start, deleted, [types.NotebookCell(code, c.uri) for c in inserted])
    return types.NotebookDocumentCellChanges(
        structure=types.NotebookDocumentCellChangeStructure(
            array, did_open=list(opened), did_close=[types.TextDocumentIdentifier(c.uri) for c in closed]
        )
    )


def span(line: int, start: int, end: int) -> types.Range:
    return types.Range(types.Position(line, start), types.Position(line, end))


def changes_of(action: dict[str, Any]) -> dict[str, tuple[int | None, int]]:
    """By document, the version that an action's edits are for (None: it isn't told), and how many they are."""
    edit = action["edit"]
    if "documentChanges" not in edit:
        return {uri: (None, len(edits)) for uri, edits in edit["changes"].items()}
    return {
        change["textDocument"]["uri"]: (change["textDocument"]["version"], len(change["edits"]))
        for change in edit["documentChanges"]
    }


def changed(editor: Editor, uri: str, cells: types.NotebookDocumentCellChanges) -> None:
    editor.client.notebook_document_did_change(
        types.DidChangeNotebookDocumentParams(
            types.VersionedNotebookDocumentIdentifier(2, uri), types.NotebookDocumentChangeEvent(cells=cells)
        )
    )


async def places(editor: Editor, cell: types.TextDocumentItem) -> list[tuple[int, int]]:
    return [(d.range.start.line, d.range.start.character) for d in (await editor.pull(cell.uri)).items]


async def test_a_finding_lies_in_its_cell(vscode: Editor) -> None:
    first = cell(vscode, "a1", "x = 1\nbad_call()")
    prose = cell(vscode, "a2", "bad_call()", "markdown")
    second = cell(vscode, "a3", "'😀'; bad_call()\n")
    opened(vscode, "a.ipynb", [first, prose, second])
    assert await places(vscode, first) == [(1, 0)]
    assert await places(vscode, prose) == []
    assert await places(vscode, second) == [(0, 6)]
    (fix, *_) = await vscode.actions(second.uri, (await vscode.pull(second.uri)).items)
    assert [c["textDocument"] for c in fix["edit"]["documentChanges"]] == [{"uri": second.uri, "version": 1}]
    (fix, *_) = await vscode.actions(first.uri, (await vscode.pull(first.uri)).items)
    assert applied(first.text, fix) == "x = 1\ngood_call()"
    assert await vscode.lenses(first.uri) == []


async def test_cells_are_edited_added_moved_and_removed(vscode: Editor) -> None:
    first, second = cell(vscode, "b1", "bad_call()"), cell(vscode, "b2", "x = 1")
    uri = opened(vscode, "b.ipynb", [first, second])
    edit = types.TextDocumentContentChangePartial(
        types.Range(types.Position(0, 0), types.Position(0, 5)), "\nbad_call()"
    )
    changed(
        vscode,
        uri,
        types.NotebookDocumentCellChanges(
            text_content=[
                types.NotebookDocumentCellContentChanges(
                    types.VersionedTextDocumentIdentifier(uri=second.uri, version=2), [edit]
                )
            ]
        ),
    )
    assert await places(vscode, second) == [(1, 0)]

    third = cell(vscode, "b3", "'three'; bad_call()")
    code = types.NotebookCellKind.Code
    changed(
        vscode,
        uri,
        types.NotebookDocumentCellChanges(
            structure=types.NotebookDocumentCellChangeStructure(
                types.NotebookCellArrayChange(0, 2, [types.NotebookCell(code, c.uri) for c in (second, third)]),
                did_open=[third],
                did_close=[types.TextDocumentIdentifier(first.uri)],
            )
        ),
    )
    assert await places(vscode, third) == [(0, 9)]
    assert await places(vscode, second) == [(1, 0)]
    assert await places(vscode, first) == []
    changed(
        vscode,
        uri,
        types.NotebookDocumentCellChanges(data=[types.NotebookCell(types.NotebookCellKind.Markup, third.uri)]),
    )
    assert await places(vscode, third) == []
    vscode.client.notebook_document_did_close(
        types.DidCloseNotebookDocumentParams(
            types.NotebookDocumentIdentifier(uri),
            [types.TextDocumentIdentifier(c.uri) for c in (second, third)],
        )
    )
    assert await places(vscode, second) == []


async def test_a_notebook_without_code_is_empty(vscode: Editor) -> None:
    prose = cell(vscode, "c1", "# nothing", "markdown")
    opened(vscode, "c.ipynb", [prose])
    assert await places(vscode, prose) == []


async def test_every_encoding_finds_its_place(each_editor: Editor) -> None:
    units = {"utf-8": 4, "utf-16": 2, "utf-32": 1}[str(each_editor.result.capabilities.position_encoding or "utf-16")]
    first, second = cell(each_editor, "d1", "'😀'; x = 1\f\nbad_call()"), cell(each_editor, "d2", "'😀'; bad_call()")
    uri = opened(each_editor, "d.ipynb", [first, second])
    await placed(each_editor, second, [(0, units + 4)])
    await placed(each_editor, first, [(1, 0)])
    # The edit names its place in the client's units, too: `x = 1` gives way to a call.
    changed(each_editor, uri, texts((first, 2, span(0, units + 4, units + 9), "bad_call()")))
    await placed(each_editor, first, [(0, units + 4), (1, 0)])
    await placed(each_editor, second, [(0, units + 4)])


async def test_a_client_asks_again_for_cells_that_it_has_not_edited(vscode: Editor) -> None:
    first, second = cell(vscode, "k1", "x = 1"), cell(vscode, "k2", "bad_call()")
    uri = opened(vscode, "k.ipynb", [first, second])
    before = await vscode.pull(second.uri)
    refreshes = vscode.counts.get(types.WORKSPACE_DIAGNOSTIC_REFRESH, 0)
    # What the second cell has is now the second of its kind: a fix asked for under the old key would not be found.
    changed(vscode, uri, texts((first, 2, span(0, 0, 5), "bad_call()")))
    await vscode.until(lambda: vscode.counts.get(types.WORKSPACE_DIAGNOSTIC_REFRESH, 0) > refreshes)
    after = await vscode.pull(second.uri, before.result_id)
    assert after.kind == "full"
    refreshes = vscode.counts[types.WORKSPACE_DIAGNOSTIC_REFRESH]
    changed(vscode, uri, texts((first, 3, span(0, 0, 0), "x = 2\n")))
    await placed(vscode, first, [(1, 0)])
    assert vscode.counts[types.WORKSPACE_DIAGNOSTIC_REFRESH] == refreshes


async def test_magics_are_not_python(each_editor: Editor) -> None:
    cells = [
        cell(each_editor, "e1", "%matplotlib inline\n!echo bad_call()\nbad_call()"),
        cell(each_editor, "e2", "%%bash\nbad_call()"),
        cell(each_editor, "e3", "%%time\nbad_call()\nbad_call?"),
        cell(each_editor, "e4", "%time bad_call()"),
    ]
    opened(each_editor, "e.ipynb", cells)
    for each, expected in zip(cells, ([(2, 0)], [], [(1, 0)], [(0, 6)]), strict=True):
        await placed(each_editor, each, expected)


async def test_a_cell_that_is_moved_takes_its_findings_along(each_editor: Editor) -> None:
    first, second = cell(each_editor, "f1", "bad_call()"), cell(each_editor, "f2", "x = 1\nbad_call()")
    third = cell(each_editor, "f3", "y = 1")
    uri = opened(each_editor, "f.ipynb", [first, second, third])
    await placed(each_editor, second, [(1, 0)])
    changed(each_editor, uri, structure(0, 3, [third, second, first]))
    changed(each_editor, uri, texts((third, 2, span(0, 0, 0), "bad_call()\n")))
    for each, place in ((third, (0, 0)), (second, (1, 0)), (first, (0, 0))):
        await placed(each_editor, each, [place])
        (fix, *_) = await each_editor.actions(each.uri, await each_editor.diagnostics(each.uri))
        assert list(changes_of(fix)) == [each.uri]


async def test_what_is_code_no_longer_has_no_findings(each_editor: Editor) -> None:
    cells = [cell(each_editor, f"g{number}", "bad_call()") for number in range(4)]
    uri = opened(each_editor, "g.ipynb", cells)
    for each in cells:
        await placed(each_editor, each, [(0, 0)])
    prose, other, deleted, kept = cells
    data = [types.NotebookCell(types.NotebookCellKind.Markup, prose.uri)]
    changed(each_editor, uri, types.NotebookDocumentCellChanges(data=data))
    in_julia = types.TextDocumentItem(other.uri, "julia", 2, other.text)
    changed(each_editor, uri, structure(1, 1, [in_julia], opened=[in_julia], closed=[other]))
    changed(each_editor, uri, structure(2, 1, closed=[deleted]))
    for gone in (prose, other, deleted):
        await placed(each_editor, gone, [])
    await placed(each_editor, kept, [(0, 0)])
    data = [types.NotebookCell(types.NotebookCellKind.Code, prose.uri)]
    changed(each_editor, uri, types.NotebookDocumentCellChanges(data=data))
    await placed(each_editor, prose, [(0, 0)])
    each_editor.client.notebook_document_did_close(
        types.DidCloseNotebookDocumentParams(
            types.NotebookDocumentIdentifier(uri), [types.TextDocumentIdentifier(c.uri) for c in cells]
        )
    )
    await placed(each_editor, prose, [])
    await placed(each_editor, kept, [])


async def test_a_fix_across_cells_edits_each_of_them(each_editor: Editor) -> None:
    first, second = cell(each_editor, "h1", "pair_call()"), cell(each_editor, "h2", "x = 1\npair_call()")
    uri = opened(each_editor, "h.ipynb", [first, cell(each_editor, "h0", "y = 1"), second])
    changed(each_editor, uri, texts((second, 5, span(0, 0, 1), "z")))
    await placed(each_editor, second, [(1, 0)])
    action = (await each_editor.actions(first.uri, await each_editor.diagnostics(first.uri)))[0]
    workspace_edit = each_editor.client.capabilities.workspace.workspace_edit
    versions = [1, 5] if workspace_edit is not None and workspace_edit.document_changes else [None, None]
    assert changes_of(action) == {first.uri: (versions[0], 1), second.uri: (versions[1], 1)}


async def test_fix_all_of_a_cell_and_of_the_notebook(each_editor: Editor) -> None:
    first, second = (
        cell(each_editor, "i1", "bad_call()\npair_call()"),
        cell(each_editor, "i2", "pair_call()\nbad_call()"),
    )
    opened(each_editor, "i.ipynb", [first, second])
    (own,) = await each_editor.actions(first.uri, only=["source.fixAll"])
    assert own["kind"] == "source.fixAll.gradsense"
    assert {uri: count for uri, (_, count) in changes_of(own).items()} == {first.uri: 1}
    (whole,) = await each_editor.actions(first.uri, only=["notebook.source.fixAll"])
    assert whole["kind"] == "notebook.source.fixAll.gradsense"
    changes = changes_of(whole)
    assert {uri: count for uri, (_, count) in changes.items()} == {first.uri: 2, second.uri: 2}
    plain = each_editor.open("i.py", "bad_call()\n")
    assert await each_editor.actions(plain, only=["notebook.source.fixAll"]) == []


async def test_suppressions_stand_where_a_cell_may_hold_them(vscode: Editor) -> None:
    shell, magic = cell(vscode, "j1", "%%bash\nls"), cell(vscode, "j2", "%%time\n!ls\nbad_call()")
    last = cell(vscode, "j3", "x = 1\nbad_call()")
    uri = opened(vscode, "j.ipynb", [shell, magic, last])
    actions = await vscode.actions(last.uri, (await vscode.pull(last.uri)).items)
    on_line = by_title(actions, "Ignore bad-call on this line")
    assert applied(last.text, on_line) == "x = 1\nbad_call()  # gradsense: ignore[bad-call]"
    in_file = by_title(actions, "Ignore bad-call in this notebook")
    assert list(changes_of(in_file)) == [magic.uri]
    silenced = applied(magic.text, in_file)
    assert silenced == "%%time\n!ls\n# gradsense: ignore-file[bad-call]\nbad_call()"
    changed(vscode, uri, texts((magic, 2, types.Range(types.Position(0, 0), types.Position(2, 10)), silenced)))
    assert await places(vscode, magic) == []
    assert await places(vscode, last) == []
