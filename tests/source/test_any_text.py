"""No text makes it raise or hang, and what it reads covers the text."""

from __future__ import annotations

import random
import string
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradsense.source.blocks import read_document
from gradsense.source.parse import read_syntax
from tests.source import corpus

PIECES = [
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        '"""',
        "'''",
        "\\",
        "#",
        ":",
        ";",
        ",",
        ".",
        "=",
        "@",
        "*",
        "-",
        "->",
        "$",
        "?",
    ),
    *(
        "\n",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\f",
        "\t",
        "\0",
        "\ufeff",
        "\u2028",
        "\x85",
        " ",
        "    ",
        "        ",
        "\\\n",
    ),
    *(
        "é",
        "🎉",
        "\ud83d",
        "x",
        "y1",
        "0",
        "1e5",
        "f'",
        'rb"',
        "{x!r:>{w}}",
        "# gradsense: ignore[a]",
        "%time ",
    ),
    *(
        "def ",
        "class ",
        "async ",
        "if ",
        "elif ",
        "else",
        "for ",
        "in ",
        "while ",
        "with ",
        "try",
        "except ",
        "finally",
    ),
    *(
        "match ",
        "case ",
        "return ",
        "lambda ",
        "import ",
        "from ",
        "pass",
        "not ",
        "await ",
        "yield ",
        "def f():\n    ",
    ),
]


def read_all(text: str, cells: tuple[int, ...] = ()) -> None:
    """Read the text and everything in it."""
    document = read_document(text, cells)
    assert "".join(tree.text for _, tree in document.blocks) == text
    for start, tree in corpus.trees(document):
        assert text[start : start + len(tree.text)] == tree.text
        assert (tree.block.hole is None) == (tree.block.tree is not None)
        for node in tree.block.statements:
            span = tree.block.span_of(node)
            assert span is None or 0 <= span.start <= span.end <= len(tree.block.text)
            assert tree.block.parent_of(node) is not None
        assert len(tree.block.index.by_kind) >= len({type(node) for node in tree.block.statements})
    for suppression in document.suppressions:
        assert text[suppression.span.start] == "#"
        assert suppression.lines[-1] < document.lines.line_count
    assert document.names is document.names


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join), st.lists(st.integers(-5, 100), max_size=4))
def test_any_pieces_of_programs(text: str, cells: list[int]) -> None:
    read_all(text, tuple(cells))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=200))
def test_any_characters(text: str) -> None:
    read_all(text)


def test_every_prefix_of_a_program() -> None:
    chosen = [
        text for text in map(corpus.read, corpus.paths(library=False)) if text is not None and 1500 < len(text) < 2500
    ]
    for text in chosen[:1]:
        for end in range(0, len(text), 5):
            read_all(text[:end])


def test_characters_left_out_put_in_and_moved() -> None:
    chance = random.Random(4)
    chosen = [
        text for text in map(corpus.read, corpus.paths(library=False)) if text is not None and 2000 < len(text) < 5000
    ]
    for text in chosen[:15]:
        for _ in range(4):
            first, second = sorted(chance.randrange(len(text)) for _ in range(2))
            read_all(text[:first] + chance.choice(PIECES) + text[first:])
            read_all(text[:first] + text[min(second, first + 40) :])
            read_all(text[first:second])


def test_random_bytes() -> None:
    chance = random.Random(5)
    for _ in range(100):
        read_all("".join(chance.choices(string.printable, k=300)))


@pytest.mark.parametrize(
    "text", ["1if y else 2", "1.or y", "0x1for y in z", "1_0notes", "1jin y", "z = '\\d'", "5isinstance(1)"]
)
def test_nothing_is_written_about_a_text(text: str) -> None:
    """Python warns of numbers that run on into a word, and of escapes: on the server's error output."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        read_syntax(text)
    assert not told
