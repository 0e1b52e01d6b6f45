"""What is found only since a line is being typed is told once the line may be meant so."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from lsprotocol import types

from gradsense.findings import Finding, Severity, Span
from gradsense.lsp.documents import Documents, Source
from gradsense.lsp.half_typed import HalfTyped, is_half_typed
from tests.lsp.editor import Editor

URI = "file:///typed.py"
TEXT = "first = 1\ngood_call()\n"


class Typist:
    """A user, and the server's copy of the text."""

    def __init__(self, text: str) -> None:
        self._documents = Documents("utf-16")
        self._documents.open(types.TextDocumentItem(URI, "python", 1, text))

    @property
    def source(self) -> Source:
        source = self._documents.source(URI)
        assert source is not None
        return source

    def edit(self, *changes: tuple[tuple[int, int], tuple[int, int], str]) -> Source:
        events: list[types.TextDocumentContentChangeEvent] = [
            types.TextDocumentContentChangePartial(types.Range(types.Position(*start), types.Position(*end)), text)
            for start, end, text in changes
        ]
        identifier = types.VersionedTextDocumentIdentifier(2, URI)
        self._documents.change(types.DidChangeTextDocumentParams(identifier, events))
        return self.source


def found(source: Source, *words: str) -> list[Finding]:
    """A finding at each of some words."""
    return [
        Finding(word, word, Severity.ERROR, Span(at, at + len(word)), f"{word}.", key=f"{line}#0")
        for line, number in zip(source.text.splitlines(), range(99), strict=False)
        for word in words
        if (at := sum(map(len, source.text.splitlines(keepends=True)[:number])) + line.find(word)) >= 0 and word in line
    ]


@pytest.mark.parametrize(
    ("is_half", "lines"),
    [
        (True, ("x = y.step", "x = f(a,", "lr = 0.00", "return ", "x.")),
        (False, ("x = f(a)", "x = 'a'", "if x:", "    ", "x = [1] ")),
    ],
)
def test_what_could_go_on(is_half: bool, lines: tuple[str, ...]) -> None:
    for line in lines:
        typist = Typist("\n")
        assert not is_half_typed(typist.source)
        assert is_half_typed(typist.edit(((0, 0), (0, 0), line))) == is_half


def test_brackets_that_an_editor_adds_close_nothing() -> None:
    typist = Typist("f()\n")
    assert is_half_typed(typist.edit(((0, 2), (0, 2), "lr=0")))


@pytest.mark.parametrize(
    "changes",
    [
        [((0, 9), (0, 9), "0\nx")],
        [((0, 9), (1, 4), "x")],
        [((0, 9), (0, 9), "0"), ((1, 4), (1, 4), "x")],
    ],
)
def test_other_edits_are_meant(changes: list[tuple[tuple[int, int], tuple[int, int], str]]) -> None:
    assert not is_half_typed(Typist(TEXT).edit(*changes))


def test_only_what_was_there_before_is_told() -> None:
    typist, half_typed = Typist(TEXT), HalfTyped()

    def told(source: Source, *words: str) -> Sequence[str]:
        return [each.code for each in half_typed.told(source, found(source, *words))]

    assert told(typist.source, "first") == ["first"]
    # Also in the line that is typed on, whose findings have another key then.
    assert told(typist.edit(((0, 9), (0, 9), "0")), "first", "good") == ["first"]
    assert told(typist.edit(((0, 10), (0, 10), ".")), "first", "good") == ["first"]
    assert told(typist.edit(((0, 11), (0, 11), "real)")), "first", "good") == ["first", "good"]
    assert told(typist.edit(((0, 15), (0, 16), "")), "first", "good", "call") == ["first", "good"]
    half_typed.meant(URI, typist.source.revision)
    assert told(typist.source, "first", "good", "call") == ["first", "good", "call"]
    assert told(typist.edit(((0, 0), (0, 1), "F")), "good") == ["good"]


async def shown_next(editor: Editor, uri: str, published: int = 0) -> list[types.Diagnostic]:
    """What this editor shows now; one that is told, after it was told so often."""
    if editor.pulls:
        return list((await editor.pull(uri)).items)
    await editor.until(lambda: len(editor.published.get(uri, ())) > published)
    return list(editor.published[uri][-1].diagnostics)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("how", ["closed", "saved", "left alone"])
async def test_an_editor_shows_it_later(each_editor: Editor, how: str) -> None:
    uri = each_editor.open(f"half_typed_{how[0]}.py", TEXT)
    assert await shown_next(each_editor, uri) == []
    published = len(each_editor.published.get(uri, ()))
    each_editor.edit(uri, 2, (1, 0), (1, 4), "bad")
    assert await shown_next(each_editor, uri, published) == []
    if how == "closed":
        each_editor.edit(uri, 3, (1, 10), (1, 10), "\n")
    elif how == "saved":
        each_editor.client.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri)))
    shown = await each_editor.diagnostics(uri, lambda shown: len(shown) == 1)
    assert [each.code for each in shown] == ["GS901"]
    each_editor.close(uri)
