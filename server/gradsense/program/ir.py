"""The event tree: a block's statements and expressions without syntax, made by `lower.py`.

`at` numbers a node within its block (`Lowered.nodes[at]` is the libcst node that it came from), so that equal texts
share one event tree and nothing in it knows a position.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, get_args

from gradsense.program.frozen import by_identity


@by_identity
class Name:
    at: int
    id: str


@by_identity
class Attribute:
    at: int
    value: Expr
    attr: str


@by_identity
class Call:
    at: int
    func: Expr
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str | None, Expr], ...]


@by_identity
class Subscript:
    at: int
    value: Expr
    index: Expr


@by_identity
class Constant:
    at: int
    value: object


@by_identity
class Operation:
    """Arithmetic, comparison, f-string, slice: `op` is the operator's spelling, or a word for the others.

    The texts of an f-string are operands, too, as Constants with its own number.
    """

    at: int
    op: str
    operands: tuple[Expr, ...]


@by_identity
class Boolean:
    """`and`, `or`: later operands may not be evaluated."""

    at: int
    op: str
    operands: tuple[Expr, ...]


@by_identity
class Conditional:
    at: int
    test: Expr
    body: Expr
    orelse: Expr


@by_identity
class Sequence:
    """A display; `kind` is `tuple`, `list` or `set`."""

    at: int
    kind: str
    items: tuple[Expr, ...]


@by_identity
class Mapping:
    """A dict display; a key of None is `**value`."""

    at: int
    items: tuple[tuple[Expr | None, Expr], ...]


@by_identity
class Starred:
    at: int
    value: Expr


@by_identity
class Comprehension:
    """`kind` is `list`, `set`, `generator` or `dict` (then `key` is given)."""

    at: int
    kind: str
    key: Expr | None
    element: Expr
    clauses: tuple[tuple[Expr, Expr, tuple[Expr, ...]], ...]


@by_identity
class Yield:
    at: int
    value: Expr | None


@by_identity
class Await:
    at: int
    value: Expr


@by_identity
class NamedExpr:
    at: int
    target: Expr
    value: Expr


@by_identity
class Parameter:
    name: str
    annotation: Expr | None
    default: Expr | None
    kind: str
    """`plain`, `keyword`, `*` or `**`."""


@by_identity
class Lambda:
    at: int
    params: tuple[Parameter, ...]
    body: Expr


@by_identity
class Opaque:
    """An expression that no rule looks into; its operands are still evaluated."""

    at: int
    operands: tuple[Expr, ...]


Expr = (
    Name
    | Attribute
    | Call
    | Subscript
    | Constant
    | Operation
    | Boolean
    | Conditional
    | Sequence
    | Mapping
    | Starred
    | Comprehension
    | Yield
    | Await
    | NamedExpr
    | Lambda
    | Opaque
)


@by_identity
class Slot:
    """A body that was split off into blocks of its own: suite number `number` of the block's tree."""

    number: int


Body = tuple["Stmt", ...] | Slot


@by_identity
class Assign:
    at: int
    targets: tuple[Expr, ...]
    value: Expr | None
    annotation: Expr | None


@by_identity
class AugAssign:
    at: int
    target: Expr
    op: str
    value: Expr


@by_identity
class Evaluate:
    at: int
    value: Expr


@by_identity
class Return:
    at: int
    value: Expr | None


@by_identity
class Raise:
    at: int
    value: Expr | None


@by_identity
class If:
    at: int
    test: Expr
    body: Body
    orelse: Body


@by_identity
class For:
    at: int
    target: Expr
    iter: Expr
    body: Body
    orelse: Body


@by_identity
class While:
    at: int
    test: Expr
    body: Body
    orelse: Body


@by_identity
class With:
    at: int
    items: tuple[tuple[Expr, Expr | None], ...]
    body: Body


@by_identity
class Try:
    at: int
    body: Body
    handlers: tuple[tuple[Expr | None, str | None, Body], ...]
    orelse: Body
    finalbody: Body


@by_identity
class Match:
    """`cases` hold the names that the pattern binds, the guard, the body, and whether the pattern takes anything."""

    at: int
    subject: Expr
    cases: tuple[tuple[tuple[str, ...], Expr | None, Body, bool], ...]


@by_identity
class Function:
    at: int
    name: str
    params: tuple[Parameter, ...]
    decorators: tuple[Expr, ...]
    returns: Expr | None
    body: Body
    is_generator: bool


@by_identity
class Class:
    at: int
    name: str
    bases: tuple[Expr, ...]
    decorators: tuple[Expr, ...]
    body: Body


@by_identity
class Import:
    """`import a.b as c`: (`a.b`, `c`); without `as`, (`a.b`, None)."""

    at: int
    names: tuple[tuple[str, str | None], ...]


@by_identity
class ImportFrom:
    """`module` keeps its leading dots; a name of `*` imports everything."""

    at: int
    module: str
    names: tuple[tuple[str, str], ...]


@by_identity
class Delete:
    at: int
    targets: tuple[Expr, ...]


@by_identity
class Assert:
    at: int
    test: Expr


@by_identity
class Global:
    at: int
    names: tuple[str, ...]


@by_identity
class Jump:
    """`break` or `continue`."""

    at: int
    kind: str


@by_identity
class Hole:
    """Code that does not parse: unknown, not absent."""

    defines: str | None
    mentions: frozenset[str]
    keyword: str | None


Stmt = (
    Assign
    | AugAssign
    | Evaluate
    | Return
    | Raise
    | If
    | For
    | While
    | With
    | Try
    | Match
    | Function
    | Class
    | Import
    | ImportFrom
    | Delete
    | Assert
    | Global
    | Jump
    | Hole
)

_PLAIN = frozenset("""at id attr op kind name names number module defines mentions keyword is_generator""".split())


def _getter(node: type) -> Callable[[Any], tuple[object, ...]] | None:
    fields = [field for field in node.__slots__ if field not in _PLAIN]  # type: ignore[attr-defined]
    if node is Constant or not fields:
        return None
    if len(fields) > 1:
        return attrgetter(*fields)
    get = attrgetter(fields[0])
    return lambda node: (get(node),)


BELOW: dict[type, Callable[[Any], tuple[object, ...]]] = {
    node: getter for node in (*get_args(Expr), *get_args(Stmt), Parameter) if (getter := _getter(node)) is not None
}
"""By type, what stands below a node of the event tree: nodes, bodies, None, or tuples of these. Absent: nothing."""
