"""What the body of a function or class consists of."""

from __future__ import annotations

from collections.abc import Iterator

from gradsense.program import ir
from gradsense.program.run import Frame, statements_of
from gradsense.program.values import Closure, Code, Site


def is_stub(code: Code) -> bool:
    """Whether a body holds nothing but a docstring, `pass` and `...`: to be filled in by a subclass."""
    return all(_says_nothing(statement) for _, statement in body_of(code))


def is_abstract(code: Code) -> bool:
    """Whether a body is a stub, or raises `NotImplementedError` and does nothing else."""
    statements = [statement for _, statement in body_of(code) if not _says_nothing(statement)]
    return not statements or (len(statements) == 1 and _raises_not_implemented(statements[0]))


def _says_nothing(statement: ir.Stmt) -> bool:
    return isinstance(statement, ir.Evaluate) and isinstance(statement.value, ir.Constant)


def _raises_not_implemented(statement: ir.Stmt) -> bool:
    raised = statement.value if isinstance(statement, ir.Raise) else None
    named = raised.func if isinstance(raised, ir.Call) else raised
    return isinstance(named, ir.Name) and named.id == "NotImplementedError"


def switches_gradients_on(code: Code) -> bool:
    """Whether the first that a function says of gradients, outside of its branches and loops, is to record them, or may
    be.
    """
    if "set_grad_enabled" not in code.tree.names:  # type: ignore[attr-defined]
        return False
    for _, statement in body_of(code):
        if isinstance(statement, ir.Hole) and "set_grad_enabled" in statement.mentions:
            return True
        call = statement.value if isinstance(statement, ir.Evaluate) else None
        if isinstance(call, ir.Call) and isinstance(call.func, ir.Attribute) and call.func.attr == "set_grad_enabled":
            given = [*call.args, *(value for _, value in call.keywords)]
            return len(given) == 1 and isinstance(given[0], ir.Constant) and given[0].value is True
    return False


def body_of(code: Code) -> Iterator[tuple[Site, ir.Stmt]]:
    """The statements of a function's or class's body, with their places."""
    body = code.node.body  # type: ignore[attr-defined]
    frame = Frame(0, None, code.where, code.tree, code, Closure(""), (), ())  # type: ignore[arg-type]
    for where, _, statements in statements_of(frame, body):
        for statement in statements:
            yield Site(where, getattr(statement, "at", -1)), statement
