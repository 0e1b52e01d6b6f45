"""What is done with the variables of a statement, told by its event tree: none of libcst's is made for it."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any, NamedTuple

from gradsense.program import ir
from gradsense.program.lower import lower, nodes_below, nodes_within
from gradsense.program.program import Program
from gradsense.program.values import NOTHING, Code, Site, Where
from gradsense.source.blocks import BlockTree


class _Uses(NamedTuple):
    """What a statement and its body do with variables.

    `read`: the names that stand otherwise than as what is assigned to or deleted. `taken`: those of them that stand
    otherwise than in `name.append`, or as what is unpacked into, too. `bound`: those that are assigned to, and not said
    to be variables from outside. `asked`: by variable, the attributes of `name.attribute`, read or assigned to.
    """

    read: frozenset[str]
    taken: frozenset[str]
    bound: frozenset[str]
    asked: dict[str, frozenset[str]]


def is_read(program: Program, function: Code | None, name: str) -> bool:
    """Whether a variable is read in a function, or anywhere in the file for a variable of the module."""
    trees = [function.tree] if function is not None else [tree for _, _, tree, _ in program.file.units]
    return any(name in _uses(tree).read for tree in trees if name in tree.names)  # type: ignore[attr-defined, arg-type]


def is_only_appended_to(program: Program, function: Code | None, name: str) -> bool:
    """Whether nothing is done with a variable of a function, or anywhere in the file with one of the module, but to
    append to it. Of what a function does not make itself that can't be told.
    """
    if function is not None and name not in _uses(function.tree).bound:  # type: ignore[arg-type]
        return False
    trees = [function.tree] if function is not None else [tree for _, _, tree, _ in program.file.units]
    uses = (_uses(tree) for tree in trees if name in tree.names)  # type: ignore[attr-defined, arg-type]
    return not any(name in each.taken for each in uses)


def attributes_asked(program: Program, function: Code | None, name: str) -> frozenset[str]:
    """What a variable is asked for in a function, or in the module's statements outside of definitions: the attributes
    of `name.attribute`, whether it is read or assigned to.
    """
    if function is not None:
        return _uses(function.tree).asked.get(name, NOTHING)  # type: ignore[arg-type]
    outside = [tree for where, _, tree, _ in program.file.units if not where.unit and name in tree.names]
    return NOTHING.union(*(_uses(tree).asked.get(name, NOTHING) for tree in outside))


def is_called_on(program: Program, where: Where, name: str, method: str) -> bool:
    """Whether the statement at `where`, its body included, asks a variable for a method."""
    found = program.file.block_at(where)
    return found is not None and method in _uses(found[1]).asked.get(name, NOTHING)


def nodes_of(code: Code, *kinds: type) -> list[Any]:
    """The nodes of some kinds in a function or class, its header included."""
    return nodes_below(code.node, code.tree, *kinds)  # type: ignore[arg-type]


def expression_at(program: Program, site: Site, *kinds: type) -> ir.Expr | None:
    """The expression at a site, if it is of one of these kinds."""
    return next((node for node in _at(program, site, *kinds) if node.at == site.at), None)


def called_at(program: Program, site: Site) -> ir.Expr | None:
    """What is called by the call at a site."""
    call = expression_at(program, site, ir.Call)
    return call.func if isinstance(call, ir.Call) else None


def assigned_at(program: Program, site: Site) -> ir.Expr | None:
    """The right-hand side of the assignment to the target at a site; None for `a, b = ...`."""
    for node in _at(program, site, ir.Assign):
        if any(target.at == site.at for target in node.targets):
            return node.value  # type: ignore[no-any-return]
    return None


def _at(program: Program, site: Site, *kinds: type) -> list[Any]:
    """The nodes of some kinds in the block of a site: it numbers them."""
    found = program.file.block_at(site.where) if site.where.path == program.file.path else None
    return nodes_within(lower(found[1]).statements, *kinds) if found is not None else []


def _uses(whole: BlockTree) -> _Uses:
    known: _Uses | None = whole.notes.get(_uses)
    if known is None:
        read: list[str] = []
        others: list[str] = []
        bound: set[str] = set()
        outside: set[str] = set()
        asked: dict[str, set[str]] = {}
        nodes = nodes_below(lower(whole).statements, whole, ir.Name, *_TELLING)
        written = {target for node in nodes if type(node) in _WRITING for target in _targets(node)}
        for node in nodes:
            if isinstance(node, ir.Name):
                if node not in written:
                    read.append(node.id)
            elif isinstance(node, ir.Attribute):
                if not isinstance(node.value, ir.Name):
                    continue
                asked.setdefault(node.value.id, set()).add(node.attr)
                if node.attr == "append":
                    others.append(node.value.id)
            elif isinstance(node, ir.Assign):
                unpacked = (target.items for target in node.targets if isinstance(target, ir.Sequence))
                into = [item.id for item in chain.from_iterable(unpacked) if isinstance(item, ir.Name)]
                others += into
                bound.update(into, (target.id for target in node.targets if isinstance(target, ir.Name)))
            elif isinstance(node, ir.Global):
                outside.update(node.names)
        names = frozenset(read)
        known = _Uses(
            names,
            frozenset(Counter(read) - Counter(others)) if others else names,
            frozenset(bound - outside),
            {name: frozenset(attributes) for name, attributes in asked.items()},
        )
        whole.notes[_uses] = known
    return known


_WRITING = (ir.Assign, ir.AugAssign, ir.Delete)
_TELLING = (ir.Attribute, ir.Global, *_WRITING)


def _targets(node: ir.Assign | ir.AugAssign | ir.Delete) -> tuple[ir.Expr, ...]:
    """What a statement assigns to or deletes."""
    return (node.target,) if isinstance(node, ir.AugAssign) else node.targets
