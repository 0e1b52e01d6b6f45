"""The server's copies of documents stay equal to the client's, whatever is in them."""

from __future__ import annotations

import random
import re

import pytest
from lsprotocol import types

from gradsense.findings import Edit, Span, apply_edits
from gradsense.lsp.convert import Encoding
from gradsense.lsp.documents import Documents, TextDocument, split_lines

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")

# Line ends of all kinds, what `str.splitlines` takes for one, and characters of one to four bytes.
PIECES = ["\n", "\r\n", "\r", "\f", "\v", "\x1c", "\x85", "\u2028", "a", "é", "€", "😀", "def f():", "  ", ""]


def text_units(text: str, encoding: Encoding) -> int:
    """The length of a text in units, the plain way."""
    if encoding == "utf-32":
        return len(text)
    if encoding == "utf-8":
        return len(text.encode())
    return len(text.encode("utf-16-le")) // 2


def client_position(text: str, offset: int, encoding: Encoding) -> types.Position:
    """A position as the client counts: lines break at LF, CRLF and CR only."""
    ends = [match.end() for match in re.finditer(r"\r\n|\n|\r", text) if match.end() <= offset]
    start = ends[-1] if ends else 0
    return types.Position(len(ends), text_units(text[start:offset], encoding))


def opened(text: str, encoding: Encoding = "utf-16") -> TextDocument:
    return TextDocument(types.TextDocumentItem("file:///a.py", "python", 1, text), encoding)


def changed(start: tuple[int, int], end: tuple[int, int], text: str) -> types.TextDocumentContentChangePartial:
    return types.TextDocumentContentChangePartial(types.Range(types.Position(*start), types.Position(*end)), text)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_random_edits_keep_the_copy_equal(encoding: Encoding) -> None:
    generator = random.Random(encoding)
    for _ in range(60):
        text = "".join(generator.choices(PIECES, k=generator.randrange(40)))
        document = opened(text, encoding)
        for _ in range(25):
            offsets = sorted(generator.randrange(len(text) + 1) for _ in range(2))
            # No client sends a position between the two halves of a CRLF.
            start, end = (o - 1 if text[o - 1 : o + 1] == "\r\n" and o else o for o in offsets)
            new = "".join(generator.choices(PIECES, k=generator.randrange(4)))
            change = types.TextDocumentContentChangePartial(
                types.Range(
                    client_position(text, start, encoding),
                    client_position(text, end, encoding),
                ),
                new,
            )
            replacement = document.apply(change)
            assert apply_edits(text, [replacement]) == document.text
            text = text[:start] + new + text[end:]
            assert document.text == text
            assert document._lines == split_lines(text)


def test_an_edit_below_a_form_feed_lands_on_its_line() -> None:
    document = opened("a = 1\n\fb = 2\x85\u2028\nc = 3\n")
    document.apply(changed((2, 4), (2, 5), "4"))
    assert document.text == "a = 1\n\fb = 2\x85\u2028\nc = 4\n"


@pytest.mark.parametrize(
    ("position", "expected"),
    [((0, 99), "ab|\ncd\n"), ((1, 99), "ab\ncd|\n"), ((2, 7), "ab\ncd\n|"), ((99, 0), "ab\ncd\n|")],
)
def test_positions_outside_of_the_text_mean_the_nearest_place(position: tuple[int, int], expected: str) -> None:
    document = opened("ab\ncd\n")
    document.apply(changed(position, position, "|"))
    assert document.text == expected


def test_a_position_inside_of_a_character_means_its_begin() -> None:
    document = opened("x = '😀'\n", "utf-16")
    document.apply(changed((0, 6), (0, 6), "|"))
    assert document.text == "x = '|😀'\n"


def test_the_client_s_position_is_left_as_it_is() -> None:
    position = types.Position(0, 99)
    opened("😀\n").apply(types.TextDocumentContentChangePartial(types.Range(position, position), "x"))
    assert position == types.Position(0, 99)


def test_a_whole_new_text_is_told_as_the_part_that_differs() -> None:
    document = opened("a\nb\nc\nd\n")
    replacement = document.apply(types.TextDocumentContentChangeWholeDocument("a\nB\nB\nc\nd\n"))
    assert document.text == "a\nB\nB\nc\nd\n"
    assert replacement == Edit(Span(2, 4), "B\nB\n")


def test_changes_of_one_message_build_on_each_other() -> None:
    documents = Documents("utf-16")
    documents.open(types.TextDocumentItem("file:///a.py", "python", 1, "one\ntwo\n"))
    documents.change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(uri="file:///a.py", version=2),
            [changed((0, 0), (1, 0), ""), changed((0, 3), (0, 3), "!")],
        )
    )
    assert documents["file:///a.py"].text == "two!\n"
    assert documents["file:///a.py"].version == 2


def test_an_edit_of_a_document_that_is_not_open_is_left_out() -> None:
    params = types.DidChangeTextDocumentParams(
        types.VersionedTextDocumentIdentifier(uri="file:///none.py", version=2),
        [changed((0, 0), (0, 0), "x")],
    )
    assert Documents("utf-16").change(params) == []
