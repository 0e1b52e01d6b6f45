"""What a setting is unless somebody says otherwise: the defaults that a file gives to its numbers."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator

from gradsense.program import ir
from gradsense.program.lower import lower, nodes_within
from gradsense.program.program import Program

NUMBERS = (ir.Constant, ir.Operation, ir.Attribute, ir.Name)
"""The expressions that may give a number by default."""


def number_by_default(program: Program, node: ir.Expr | None) -> float | None:
    """The number that an expression gives with every setting at its default: 0.995 for `1 - args.tau`.

    None where it is made of anything but numbers, settings with one default in the file, and differences of these.
    """
    if isinstance(node, ir.Constant):
        return _number(node)
    if isinstance(node, ir.Operation) and node.op == "-" and len(node.operands) == 2:
        left, right = (number_by_default(program, operand) for operand in node.operands)
        return left - right if left is not None and right is not None else None
    if isinstance(node, ir.Attribute):
        return _default(program, node.attr)
    return _default(program, node.id) if isinstance(node, ir.Name) else None


def _default(program: Program, name: str) -> float | None:
    """The one default that the file gives to arguments, fields and options of a name."""
    (*found,) = program.derived(_defaults).get(name, ())
    return found[0] if len(found) == 1 else None


def is_switch(program: Program, name: str) -> bool:
    """Whether the file says of arguments, fields or options of a name that they are on or off by default."""
    return name in program.derived(_switches)


def _switches(program: Program) -> set[str]:
    nodes = _with_defaults(program)
    return {name for names, default in nodes if isinstance(_value(default), bool) for name in names}


def _defaults(program: Program) -> dict[str, set[float]]:
    """The numbers that arguments, fields, variables and options of a file are by default, by name."""
    found: dict[str, set[float]] = defaultdict(set)
    for names, default in _with_defaults(program):
        number = _number(default)
        if number is not None:
            for name in names:
                found[name].add(number)
    return found


def _with_defaults(program: Program) -> Iterator[tuple[list[str], ir.Expr | None]]:
    for _, _, tree in program.file.blocks():
        yield from map(_named, nodes_within(lower(tree).statements, ir.Parameter, ir.Assign, ir.Call))


def _named(node: ir.Parameter | ir.Assign | ir.Call) -> tuple[list[str], ir.Expr | None]:
    """The names of an argument (`def __init__(self, tau=0.005)`), a field or variable (`tau: float = 0.005`), or an
    option (`parser.add_argument("-t", "--tau", default=0.005)`), and what it is by default.
    """
    if isinstance(node, ir.Parameter):
        return [node.name], node.default
    if isinstance(node, ir.Assign):
        return [target.id for target in node.targets if isinstance(target, ir.Name)], node.value
    if not isinstance(node.func, ir.Attribute) or node.func.attr != "add_argument":
        return [], None
    keywords = dict(node.keywords)
    flags = [*node.args, keywords["dest"]] if "dest" in keywords else node.args
    words = [flag.value for flag in flags if isinstance(flag, ir.Constant) and isinstance(flag.value, str)]
    return [word.lstrip("-").replace("-", "_") for word in words], keywords.get("default")


def _value(node: ir.Expr | None) -> object:
    return node.value if isinstance(node, ir.Constant) else None


def _number(node: ir.Expr | None) -> float | None:
    value = _value(node)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return float(value) if abs(value) <= sys.float_info.max else None
