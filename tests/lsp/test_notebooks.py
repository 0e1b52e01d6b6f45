"""Notebooks: the cells are one program, each finding lies in its cell."""

from __future__ import annotations

import pytest
from lsprotocol import types

from tests.lsp.editor import Editor
from tests.lsp.test_actions import applied

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
