"""The event tree: a block's statements and expressions without syntax, made by `lower.py`.

`at` numbers a node within its block (`Lowered.nodes[at]` is the libcst node that it came from), so that equal texts
share one event tree and nothing in it knows a position.
"""

from __future__ import annotations

from dataclasses import dataclass

_node = dataclass(frozen=True, slots=True, eq=False)


@_node
class Name:
    at: int
    id: str


@_node
class Attribute:
    at: int
    value: Expr
    attr: str


@_node
class Call:
    at: int
    func: Expr
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str | None, Expr], ...]


@_node
class Subscript:
    at: int
    value: Expr
    index: Expr


@_node
class Constant:
    at: int
    value: object


@_node
class Operation:
    """Arithmetic, comparison, f-string, slice: `op` is the operator's spelling, or a word for the others."""

    at: int
    op: str
    operands: tuple[Expr, ...]


@_node
class Boolean:
    """`and`, `or`: later operands may not be evaluated."""

    at: int
    op: str
    operands: tuple[Expr, ...]


@_node
class Conditional:
    at: int
    test: Expr
    body: Expr
    orelse: Expr


@_node
class Sequence:
    """A display; `kind` is `tuple`, `list` or `set`."""

    at: int
    kind: str
    items: tuple[Expr, ...]


@_node
class Mapping:
    """A dict display; a key of None is `**value`."""

    at: int
    items: tuple[tuple[Expr | None, Expr], ...]


@_node
class Starred:
    at: int
    value: Expr


@_node
class Comprehension:
    """`kind` is `list`, `set`, `generator` or `dict` (then `key` is given)."""

    at: int
    kind: str
    key: Expr | None
    element: Expr
    clauses: tuple[tuple[Expr, Expr, tuple[Expr, ...]], ...]


@_node
class Yield:
    at: int
    value: Expr | None


@_node
class Await:
    at: int
    value: Expr


@_node
class NamedExpr:
    at: int
    target: Expr
    value: Expr


@_node
class Parameter:
    name: str
    annotation: Expr | None
    default: Expr | None
    kind: str
    """`plain`, `keyword`, `*` or `**`."""


@_node
class Lambda:
    at: int
    params: tuple[Parameter, ...]
    body: Expr


@_node
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


@_node
class Slot:
    """A body that was split off into blocks of its own: suite number `number` of the block's tree."""

    number: int


Body = tuple["Stmt", ...] | Slot


@_node
class Assign:
    at: int
    targets: tuple[Expr, ...]
    value: Expr | None
    annotation: Expr | None


@_node
class AugAssign:
    at: int
    target: Expr
    op: str
    value: Expr


@_node
class Evaluate:
    at: int
    value: Expr


@_node
class Return:
    at: int
    value: Expr | None


@_node
class Raise:
    at: int
    value: Expr | None


@_node
class If:
    at: int
    test: Expr
    body: Body
    orelse: Body


@_node
class For:
    at: int
    target: Expr
    iter: Expr
    body: Body
    orelse: Body


@_node
class While:
    at: int
    test: Expr
    body: Body
    orelse: Body


@_node
class With:
    at: int
    items: tuple[tuple[Expr, Expr | None], ...]
    body: Body


@_node
class Try:
    at: int
    body: Body
    handlers: tuple[tuple[Expr | None, str | None, Body], ...]
    orelse: Body
    finalbody: Body


@_node
class Match:
    """`cases` hold the names that the pattern binds, the guard, the body, and whether the pattern takes anything."""

    at: int
    subject: Expr
    cases: tuple[tuple[tuple[str, ...], Expr | None, Body, bool], ...]


@_node
class Function:
    at: int
    name: str
    params: tuple[Parameter, ...]
    decorators: tuple[Expr, ...]
    returns: Expr | None
    body: Body
    is_generator: bool


@_node
class Class:
    at: int
    name: str
    bases: tuple[Expr, ...]
    decorators: tuple[Expr, ...]
    body: Body


@_node
class Import:
    """`import a.b as c`: (`a.b`, `c`); without `as`, (`a.b`, None)."""

    at: int
    names: tuple[tuple[str, str | None], ...]


@_node
class ImportFrom:
    """`module` keeps its leading dots; a name of `*` imports everything."""

    at: int
    module: str
    names: tuple[tuple[str, str], ...]


@_node
class Delete:
    at: int
    targets: tuple[Expr, ...]


@_node
class Assert:
    at: int
    test: Expr


@_node
class Global:
    at: int
    names: tuple[str, ...]


@_node
class Jump:
    """`break` or `continue`."""

    at: int
    kind: str


@_node
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
