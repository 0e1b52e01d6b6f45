"""The union of the blocks is the whole parse: every node, at its place."""

from __future__ import annotations

from collections import Counter

import libcst as cst

from gradsense.source.blocks import BlockTree, read_document
from gradsense.source.index import children_of, walk
from gradsense.source.positions import node_spans
from tests.source import corpus

Place = tuple[str, int, int]


def whole(text: str) -> Counter[Place] | None:
    """Kind and place of every node of the whole text; None where libcst doesn't print what it has read."""
    tree = cst.parse_module(text)
    spans = node_spans(tree, text)
    return Counter((type(node).__name__, *spans[id(node)]) for node in walk(tree.body)) if spans else None


def united(text: str) -> tuple[Counter[Place], Counter[tuple[str, int]]]:
    """Kind and place of every node in the blocks; kind and start of those around a body taken out."""
    nodes: Counter[Place] = Counter()
    skeletons: Counter[tuple[str, int]] = Counter()
    for start, tree in corpus.trees(read_document(text)):
        block = tree.block
        assert block.hole is None, tree.text
        fillers = {node for body in replaced_bodies(tree) for node in walk([body])}
        outer = set()
        for filler in fillers:
            above = block.parent_of(filler)
            while above is not None:
                outer.add(above)
                above = block.parent_of(above)
        for node in walk(block.statements):
            span = block.span_of(node)
            assert span is not None, tree.text
            if node in outer - fillers:
                skeletons[type(node).__name__, start + tree.to_text(span.start)] += 1
            elif node not in fillers:
                assert tree.text[tree.to_text(span.start) : tree.to_text(span.end)] == block.code_of(node)
                nodes[type(node).__name__, start + tree.to_text(span.start), start + tree.to_text(span.end)] += 1
    return nodes, skeletons


def replaced_bodies(tree: BlockTree) -> list[cst.IndentedBlock]:
    """The bodies in the block's tree that a suite stands for."""
    if not tree.suites:
        return []
    bodies = [node for node in walk(tree.block.statements) if isinstance(node, cst.IndentedBlock)]
    assert len(bodies) == len(tree.suites)
    for body in bodies:
        assert [type(inner) for inner in walk(children_of(body))] == [cst.SimpleStatementLine, cst.Pass]
    return bodies


def test_the_union_of_the_blocks_is_the_whole_parse() -> None:
    compared = 0
    for path in corpus.paths(library=False)[:130]:
        text = corpus.read(path)
        if text is None or len(text) > 16_000:
            continue
        expected = whole(text)
        if expected is None:
            continue
        nodes, skeletons = united(text)
        assert nodes - expected == Counter(), path
        # What the blocks lack are the bodies taken out, and the nodes around them, which end elsewhere now.
        missing = expected - nodes
        around = Counter({(kind, start): count for (kind, start), count in skeletons.items()})
        for (kind, start, _), count in missing.items():
            if kind != "IndentedBlock":
                around[kind, start] -= count
        assert {place: count for place, count in around.items() if count} == {}, path
        compared += 1
    assert compared > 60


def test_blocks_cover_the_text() -> None:
    for path in corpus.paths()[:50]:
        text = corpus.read(path)
        if text is None:
            continue
        document = read_document(text)
        assert "".join(tree.text for _, tree in document.blocks) == text
        for start, tree in corpus.trees(document):
            assert text[start : start + len(tree.text)] == tree.text
            for suite in tree.suites:
                offsets = [offset for offset, _ in suite.children]
                ends = [offset + len(child.text) for offset, child in suite.children]
                assert offsets[1:] == ends[:-1]
        assert corpus.holes(document) == []
