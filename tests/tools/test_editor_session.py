"""The demo's editor: what it makes of an edit that the server sends."""

from __future__ import annotations

from pathlib import Path

from lsprotocol import types
from tools.editor_session import edited

PATH = Path("/project/a.py")


def at(line: int, column: int, end_line: int, end_column: int) -> types.Range:
    return types.Range(types.Position(line, column), types.Position(end_line, end_column))


def test_edits_of_one_document_are_made_at_once() -> None:
    edits = [types.TextEdit(at(0, 0, 0, 0), "import copy\n"), types.TextEdit(at(1, 4, 1, 8), "éé")]
    by_version = types.OptionalVersionedTextDocumentIdentifier(uri=PATH.as_uri(), version=3)
    versioned = types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(by_version, edits)])
    plain = types.WorkspaceEdit(changes={PATH.as_uri(): edits, "file:///other.py": edits})
    for edit in (versioned, plain):
        assert edited("a = 1\r\n😀 = 2222\r\n", PATH, edit) == "import copy\na = 1\r\n😀 = éé\r\n"
