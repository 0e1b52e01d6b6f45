"""The nodes of an event tree, over the borders of blocks."""

from __future__ import annotations

import ast

import pytest

from gradsense.program import ir
from gradsense.program.lower import lower, nodes_below, nodes_within
from gradsense.source.blocks import read_document

FILLER = "".join(f"    more_{number} = {number}\n" for number in range(40))
SHORT = "def f(a, *, b=c):\n    with d(a) as e:\n        return [g for g in e if b] or {h: a}\n"
LONG = (
    f"def f(a, *, b=c):\n{FILLER}    with d(a) as e:\n{FILLER.replace('    ', ' ' * 8)}        return [g for g in e]\n"
)


@pytest.mark.parametrize(
    "text", [SHORT, LONG, f"class K:\n{FILLER}\n    def f(self):\n{FILLER.replace('    ', ' ' * 8)}"]
)
def test_names_are_those_of_pythons_own_tree(text: str) -> None:
    ((_, tree),) = read_document(text).blocks
    found = sorted(node.id for node in nodes_below(lower(tree).statements, tree, ir.Name))
    assert found == sorted(node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name))


def test_what_stands_in_other_blocks_is_left_out_where_numbers_count() -> None:
    ((_, tree),) = read_document(LONG).blocks
    statements = lower(tree).statements
    assert {node.id for node in nodes_within(statements, ir.Name)} == {"c"}
    assert len(nodes_within(statements, ir.Function, ir.Slot)) == 2


def test_a_node_counts_itself() -> None:
    ((_, tree),) = read_document("x = f(y)\n").blocks
    (assign,) = lower(tree).statements
    assert [type(node) for node in nodes_within(assign, ir.Assign)] == [ir.Assign]
