"""What is done with the variables of a statement, told by its event tree: none of libcst's is made for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from gradsense.program import ir
from gradsense.program.lower import lower, statements_in
from gradsense.program.program import Program
from gradsense.program.values import NOTHING, Code, Where
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


def _uses(whole: BlockTree) -> _Uses:
    known: _Uses | None = whole.notes.get(_uses)
    if known is None:
        read: list[str] = []
        others: list[str] = []
        bound: set[str] = set()
        outside: set[str] = set()
        asked: dict[str, set[str]] = {}
        for node in _nodes(whole):
            if isinstance(node, ir.Name):
                read.append(node.id)
            elif isinstance(node, ir.Attribute) and isinstance(node.value, ir.Name):
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
        known = _Uses(
            frozenset(read),
            frozenset(Counter(read) - Counter(others)),
            frozenset(bound - outside),
            {name: frozenset(attributes) for name, attributes in asked.items()},
        )
        whole.notes[_uses] = known
    return known


def _nodes(whole: BlockTree) -> Iterator[object]:
    """The nodes of the event trees of a statement and its body, without names that are assigned to or deleted."""
    pending: list[tuple[object, BlockTree]] = [(lower(whole).statements, whole)]
    while pending:
        node, tree = pending.pop()
        if isinstance(node, ir.Slot):
            pending += statements_in(node, tree)
        elif isinstance(node, tuple):
            pending += ((each, tree) for each in node)
        elif type(node) in ir.FIELDS:
            yield node
            pending += ((part, tree) for part in _parts(node))


def _parts(node: object) -> Iterator[object]:
    """What stands below a node, without the names that are assigned to or deleted."""
    written = ""
    if isinstance(node, (ir.Assign, ir.Delete)):
        written = "targets"
        yield from (target for target in node.targets if not isinstance(target, ir.Name))
    elif isinstance(node, ir.AugAssign) and isinstance(node.target, ir.Name):
        written = "target"
    yield from (getattr(node, field) for field in ir.FIELDS[type(node)] if field != written)
