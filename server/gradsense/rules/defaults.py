"""What a setting is unless somebody says otherwise: the defaults that a file gives to its numbers."""

from __future__ import annotations

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
    if name not in program.file.document.names:
        return None
    found = {
        number
        for _, _, tree in program.file.blocks()
        if name in tree.block.names or "add_argument" in tree.block.names
        for node in nodes_within(lower(tree).statements, ir.Parameter, ir.Assign, ir.Call)
        if (number := _number(_given(node, name))) is not None
    }
    return found.pop() if len(found) == 1 else None


def _given(node: ir.Parameter | ir.Assign | ir.Call, name: str) -> ir.Expr | None:
    """What an argument (`def __init__(self, tau=0.005)`), a field or variable (`tau: float = 0.005`), or an option
    (`parser.add_argument("--tau", default=0.005)`) of a name is by default.
    """
    if isinstance(node, ir.Parameter):
        return node.default if node.name == name else None
    if isinstance(node, ir.Assign):
        return node.value if any(isinstance(target, ir.Name) and target.id == name for target in node.targets) else None
    return dict(node.keywords).get("default") if _is_option(node, name) else None


def _is_option(call: ir.Call, name: str) -> bool:
    if not isinstance(call.func, ir.Attribute) or call.func.attr != "add_argument":
        return False
    return any(
        isinstance(argument, ir.Constant)
        and isinstance(argument.value, str)
        and argument.value.lstrip("-").replace("-", "_") == name
        for argument in call.args
    )


def _number(node: ir.Expr | None) -> float | None:
    value = node.value if isinstance(node, ir.Constant) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
