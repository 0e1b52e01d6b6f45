"""What the text of a method assigns to its object."""

from __future__ import annotations

from gradsense.program import ir
from gradsense.program.run import Frame, statements_of
from gradsense.program.values import NOTHING, Closure, Code
from gradsense.source.blocks import BlockTree


def assigned_attributes(code: Code) -> frozenset[str]:
    """The names X of all `self.X = ...` in a method."""
    node, tree = code.node, code.tree
    assert isinstance(node, ir.Function)
    assert isinstance(tree, BlockTree)
    known: frozenset[str] | None = tree.notes.get((assigned_attributes, node))
    if known is not None:
        return known
    if not node.params:
        return NOTHING
    self_name = node.params[0].name
    found: set[str] = set()
    frame = Frame(0, None, code.where, tree, code, Closure(""), (), ())  # type: ignore[arg-type]

    def targets(expression: ir.Expr) -> None:
        if isinstance(expression, ir.Attribute):
            if isinstance(expression.value, ir.Name) and expression.value.id == self_name:
                found.add(expression.attr)
        elif isinstance(expression, ir.Sequence):
            for item in expression.items:
                targets(item)

    def walk(body: ir.Body) -> None:
        outer = frame.where, frame.tree
        for where, below, inside in statements_of(frame, body):
            frame.where, frame.tree = where, below
            for statement in inside:
                if isinstance(statement, ir.Assign):
                    for target in statement.targets:
                        targets(target)
                elif isinstance(statement, ir.AugAssign):
                    targets(statement.target)
                for name in ("body", "orelse", "finalbody"):
                    inner = getattr(statement, name, None)
                    if inner is not None and not isinstance(statement, (ir.Function, ir.Class)):
                        walk(inner)
                for handler in getattr(statement, "handlers", ()):
                    walk(handler[2])
        frame.where, frame.tree = outer

    walk(node.body)
    known = tree.notes[assigned_attributes, node] = frozenset(found)
    return known
