"""What a setting is unless somebody says otherwise: the defaults that a file gives to its numbers."""

from __future__ import annotations

from collections.abc import Iterable

import libcst as cst

from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.rules.syntax import all_places, is_name


def number_by_default(program: Program, place: Place) -> float | None:
    """The number that an expression gives with every setting at its default: 0.995 for `1 - args.tau`.

    None where it is made of anything but numbers, settings with one default in the file, and differences of these.
    """
    node = place.node
    if isinstance(node, (cst.Integer, cst.Float)):
        return float(node.evaluated_value)
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Subtract):
        left, right = number_by_default(program, place.at(node.left)), number_by_default(program, place.at(node.right))
        return left - right if left is not None and right is not None else None
    if isinstance(node, cst.Attribute):
        return _default(program, node.attr.value)
    return _default(program, node.value) if isinstance(node, cst.Name) else None


def _default(program: Program, name: str) -> float | None:
    """The one default that the file gives to arguments, fields and options of a name."""
    if name not in program.file.document.names:
        return None
    found = {
        *_of_arguments(program, name),
        *_of_fields(program, name),
        *_of_options(program, name),
    }
    return found.pop() if len(found) == 1 else None


def _of_arguments(program: Program, name: str) -> set[float]:
    """`def __init__(self, tau=0.005)`."""
    return _numbers(
        each.node.default
        for each in all_places(program, cst.Param, name)
        if isinstance(each.node, cst.Param) and each.node.name.value == name
    )


def _of_fields(program: Program, name: str) -> set[float]:
    """`tau: float = 0.005`, `TAU = 0.005`."""
    fields = (
        each.node.value
        for each in all_places(program, cst.AnnAssign, name)
        if isinstance(each.node, cst.AnnAssign) and is_name(each.node.target, name)
    )
    names = (
        each.node.value
        for each in all_places(program, cst.Assign, name)
        if isinstance(each.node, cst.Assign) and any(is_name(target.target, name) for target in each.node.targets)
    )
    return _numbers(fields) | _numbers(names)


def _of_options(program: Program, name: str) -> set[float]:
    """`parser.add_argument("--tau", type=float, default=0.005)`."""
    options = (
        argument.value
        for each in all_places(program, cst.Call, "add_argument")
        if isinstance(each.node, cst.Call) and _is_option(each.node, name)
        for argument in each.node.args
        if argument.keyword is not None and argument.keyword.value == "default"
    )
    return _numbers(options)


def _is_option(call: cst.Call, name: str) -> bool:
    if not isinstance(call.func, cst.Attribute) or call.func.attr.value != "add_argument":
        return False
    return any(
        isinstance(argument.value, cst.SimpleString)
        and str(argument.value.evaluated_value).lstrip("-").replace("-", "_") == name
        for argument in call.args
    )


def _numbers(nodes: Iterable[cst.BaseExpression | None]) -> set[float]:
    return {float(node.evaluated_value) for node in nodes if isinstance(node, (cst.Integer, cst.Float))}
