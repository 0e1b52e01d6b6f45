"""What a tree holds, by kind and by name: the candidates that patterns are tried on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any

import libcst as cst

# Fields with nothing but layout in them.
_LAYOUT = frozenset(
    {
        "asterisk",
        "colon",
        "comma",
        "dot",
        "encoding",
        "equal",
        "first_line",
        "footer",
        "header",
        "indent",
        "lbrace",
        "lbracket",
        "leading_lines",
        "lines_after_decorators",
        "lpar",
        "newline",
        "rbrace",
        "rbracket",
        "rpar",
        "semicolon",
        "trailing_whitespace",
    }
)
# Where a class lists its fields in another order than the source does.
_SOURCE_ORDER: dict[type[cst.CSTNode], tuple[str, ...]] = {
    cst.FunctionDef: ("decorators", "asynchronous", "name", "type_parameters", "params", "returns", "body"),
    cst.ClassDef: ("decorators", "name", "type_parameters", "bases", "keywords", "body"),
    cst.ExceptHandler: ("type", "name", "body"),
    cst.ExceptStarHandler: ("type", "name", "body"),
    cst.Parameters: ("posonly_params", "posonly_ind", "params", "star_arg", "kwonly_params", "star_kwarg"),
    cst.MatchCase: ("pattern", "guard", "body"),
    cst.TypeAlias: ("name", "type_parameters", "value"),
    cst.IfExp: ("body", "test", "orelse"),
    cst.Arg: ("keyword", "value"),
    cst.BinaryOperation: ("left", "operator", "right"),
    cst.BooleanOperation: ("left", "operator", "right"),
    cst.AugAssign: ("target", "operator", "value"),
}


# What a field holds that is no node; `isinstance` of an abstract class such as CSTNode takes ten times as long.
_LEAVES = frozenset({str, bool, type(None), cst.MaybeSentinel})
_SEQUENCES = frozenset({list, tuple})


@cache
def _node_fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    ordered = _SOURCE_ORDER.get(kind)
    if ordered is not None:
        return ordered
    names = (field.name for field in fields(kind))
    return tuple(
        name
        for name in names
        if name not in _LAYOUT and not name.startswith("whitespace_") and not name.startswith("lines_")
    )


def children_of(node: cst.CSTNode) -> list[cst.CSTNode]:
    """The nodes right below `node`, in the order of the source, without commas, parentheses and whitespace.

    libcst's own `children` makes a visitor for each node, which takes some twenty times as long.
    """
    found: list[cst.CSTNode] = []
    for name in _node_fields(type(node)):
        value: Any = getattr(node, name)
        kind = type(value)
        if kind in _SEQUENCES:
            found += value
        elif kind not in _LEAVES:
            found.append(value)
    return found


def walk(roots: Iterable[cst.CSTNode]) -> Iterator[cst.CSTNode]:
    """Every node from `roots` downwards, parents first, in the order of the source. Not recursive."""
    pending = list(roots)
    pending.reverse()
    while pending:
        node = pending.pop()
        yield node
        below = children_of(node)
        below.reverse()
        pending += below


def callee_name(call: cst.Call) -> str | None:
    """The last component of what is called: `step` for `a.b.step(...)`; None if that isn't a name."""
    callee = call.func
    if isinstance(callee, cst.Attribute):
        return callee.attr.value
    if isinstance(callee, cst.Name):
        return callee.value
    return None


class NodeIndex:
    """Nodes by class, and calls, functions and classes by name. All lists are in source order.

    `parents` says by its id what node is right above each, those that were given aside.
    """

    __slots__ = ("by_kind", "calls", "classes", "functions", "names", "parents")

    def __init__(self, statements: Iterable[cst.CSTNode]) -> None:
        by_kind: defaultdict[type[cst.CSTNode], list[cst.CSTNode]] = defaultdict(list)
        self.parents: dict[int, cst.CSTNode] = {}
        pending = list(statements)
        pending.reverse()
        while pending:
            node = pending.pop()
            by_kind[type(node)].append(node)
            below = children_of(node)
            for child in below:
                self.parents[id(child)] = node
            below.reverse()
            pending += below
        self.by_kind: dict[type[cst.CSTNode], list[cst.CSTNode]] = dict(by_kind)
        self.calls: dict[str, list[cst.Call]] = {}
        self.functions: dict[str, list[cst.FunctionDef]] = {}
        self.classes: dict[str, list[cst.ClassDef]] = {}
        for node in self.by_kind.get(cst.Call, ()):
            assert isinstance(node, cst.Call)
            name = callee_name(node)
            if name is not None:
                self.calls.setdefault(name, []).append(node)
        for node in self.by_kind.get(cst.FunctionDef, ()):
            assert isinstance(node, cst.FunctionDef)
            self.functions.setdefault(node.name.value, []).append(node)
        for node in self.by_kind.get(cst.ClassDef, ()):
            assert isinstance(node, cst.ClassDef)
            self.classes.setdefault(node.name.value, []).append(node)
        self.names: frozenset[str] = frozenset(
            node.value for node in self.by_kind.get(cst.Name, ()) if isinstance(node, cst.Name)
        )
