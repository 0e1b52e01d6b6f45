"""What the text of a method assigns to its object."""

from __future__ import annotations

from gradsense.program import ir
from gradsense.program.run import Frame, statements_of
from gradsense.program.values import NOTHING, Closure, Code
from gradsense.source.memo import Memo


def assigned_attributes(code: Code) -> frozenset[str]:
    """The names X of all `self.X = ...` in a method."""
    known = _assigned.get(code)
    if known is not None:
        return known
    node = code.node
    assert isinstance(node, ir.Function)
    if not node.params:
        return NOTHING
    self_name = node.params[0].name
    found: set[str] = set()
    frame = Frame(0, None, code.where, code.tree, code, Closure(""), (), ())  # type: ignore[arg-type]

    def targets(expression: ir.Expr) -> None:
        if isinstance(expression, ir.Attribute):
            if isinstance(expression.value, ir.Name) and expression.value.id == self_name:
                found.add(expression.attr)
        elif isinstance(expression, ir.Sequence):
            for item in expression.items:
                targets(item)

    def walk(body: ir.Body) -> None:
        outer = frame.where, frame.tree
        for where, tree, inside in statements_of(frame, body):
            frame.where, frame.tree = where, tree
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
    result = frozenset(found)
    _assigned.put(code, result)
    return result


_assigned: Memo[Code, frozenset[str]] = Memo(8192)
