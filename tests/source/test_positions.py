"""Where nodes are: as PositionProvider says, or nothing where libcst can't be trusted."""

from __future__ import annotations

import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider

from gradsense.source.blocks import Block, read_document
from gradsense.source.lines import LineIndex
from gradsense.source.positions import node_spans
from tests.source import corpus


def named(text: str, name: str) -> tuple[Block, cst.Name]:
    """The first use of a name in the text, and its block."""
    for block in corpus.blocks(read_document(text)):
        for node in block.index.by_kind.get(cst.Name, ()):
            if isinstance(node, cst.Name) and node.value == name:
                return block, node
    raise AssertionError(name)


def test_spans_are_those_of_position_provider() -> None:
    for path in corpus.paths(library=False)[:40]:
        text = corpus.read(path)
        if text is None or len(text) > 15_000:
            continue
        tree = cst.parse_module(text)
        lines = LineIndex(text)
        ours = node_spans(tree, text)
        if not ours:
            continue
        theirs = MetadataWrapper(tree, unsafe_skip_copy=True).resolve(PositionProvider)
        for node, place in theirs.items():
            assert isinstance(place, cst.metadata.CodeRange)
            start = lines.offset(place.start.line - 1, place.start.column)
            end = lines.offset(place.end.line - 1, place.end.column)
            assert ours[id(node)] == (start, end), (path, node)


@pytest.mark.parametrize(
    "text",
    [
        "if a:\n    x = '🎉'; here = 1\n",
        "if a:\r\n    x = '''\r\n'''; here = 1\r\n",
        "if a:\r    x = 1\r    here = 1\r",
        "if a:\n\tx = 1\n\there = 1\n",
        "\f\nif a:\n    \f\n    here = 1\n",
        "\fif a:\n    here = 1\n",
        "x = 1\n\f\fhere = 1\n",
        "\ufeffhere = 1\n",
        "\ufeff# note\nif a:\n    here = 1",
        "x = '\ud800'; here = 1\n",
        "# \udcff\n\nhere = 1",
        "if a: # note\n    # note\n  # note\n    here = 1\n# note\nelse:\n    pass",
        "x = (\n  # note\n  ((here)))\n",
        "x = 1 + \\\n   here\n",
        "@a\n\n# note\n@b\n\n# note\ndef f():\n\n    # note\n    here()\n",
    ],
)
def test_a_name_is_where_it_is(text: str) -> None:
    # Long enough to be split, and as it is.
    for extended in (text, text + "\n" * 2 + "class A:\n" + "    x = 1\n" * 40 + "    here = 2\n"):
        document = read_document(extended)
        assert corpus.holes(document) == []
        for start, tree in corpus.trees(document):
            for node in tree.block.index.by_kind.get(cst.Name, ()):
                assert isinstance(node, cst.Name)
                span = tree.block.span_of(node)
                assert span is not None
                place = start + tree.to_text(span.start)
                assert extended[place : place + len(node.value)] == node.value
                assert tree.block.code_of(node) == node.value
    block, node = named(text, "here")
    assert block.parent_of(node) is not None


def test_no_position_where_libcst_prints_something_else() -> None:
    text = "class A:\n    y = 0\n    \\\n    x = 1\n"
    (_, tree) = read_document(text).blocks[0]
    assert tree.block.hole is None
    assert tree.block.span_of(tree.block.statements[0]) is None
    assert "class A" in tree.block.code_of(tree.block.statements[0])


def test_a_node_of_another_block_has_no_position() -> None:
    first, second = (tree.block for _, tree in read_document("a = 1\nb = 2\n").blocks)
    assert first.span_of(second.statements[0]) is None
    assert first.parent_of(second.statements[0]) is None
