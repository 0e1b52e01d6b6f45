"""What the user's own checks ask of a tensor: `assert x.shape[-1] == self.size`, `if x.dim() != 3: raise`, and what an
unpacking of a shape takes for granted. Read from the line that raised, with the values it had there."""

from __future__ import annotations

import ast
import itertools
import linecache
from collections.abc import Iterator
from types import FrameType
from typing import Any

from .needs import Need

_FLIPPED = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_MIRRORED: dict[Any, Any] = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE}
_trees: dict[str, ast.Module | None] = {}


def refused(error: BaseException) -> list[Need]:
    """The needs that the statement which raised `error` tells of."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return []
    tree = _tree(step.tb_frame.f_code.co_filename)
    if tree is None:
        return []
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= step.tb_lineno <= (node.end_lineno or node.lineno)
    ]
    around.sort(key=lambda node: (node.lineno, -(node.end_lineno or node.lineno)))
    check = _Check(step.tb_frame, around)
    try:
        return list(check.needs())
    except Exception:  # an expression of the user's, evaluated again
        return []


def _tree(path: str) -> ast.Module | None:
    if path not in _trees:
        try:
            _trees[path] = ast.parse("".join(linecache.getlines(path)))
        except (SyntaxError, ValueError):
            _trees[path] = None
    return _trees[path]


class _Check:
    """The statements around a line, outermost first, and the frame that ran them."""

    def __init__(self, frame: FrameType, around: list[ast.stmt]) -> None:
        self._frame = frame
        self._around = around

    def needs(self) -> Iterator[Need]:
        """By the innermost statement: a check's own condition, the one around a `raise`, an unpacking."""
        last = self._around[-1] if self._around else None
        if isinstance(last, ast.Assert):
            yield from self._true(last.test, True)
        elif isinstance(last, ast.Raise):
            outer = next((each for each in reversed(self._around) if isinstance(each, ast.If)), None)
            if outer is not None and last in outer.body:
                yield from self._true(outer.test, False)
        elif isinstance(last, ast.Assign) and isinstance(last.targets[0], (ast.Tuple, ast.List)):
            tensor = self._shaped(last.value)
            if tensor is not None and not any(isinstance(each, ast.Starred) for each in last.targets[0].elts):
                yield Need(tensor, "rank", ranks=(len(last.targets[0].elts),))

    def _true(self, test: ast.expr, wanted: bool) -> Iterator[Need]:
        """What would make `test` come out as wanted."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yield from self._true(test.operand, not wanted)
        elif isinstance(test, ast.BoolOp):
            for each in test.values:
                if bool(self._value(each)) is not wanted:
                    yield from self._true(each, wanted)
        elif isinstance(test, ast.Compare):
            left = test.left
            for operator, right in zip(test.ops, test.comparators):
                kind = type(operator) if wanted else _FLIPPED.get(type(operator))
                yield from self._compared(left, kind, right)
                mirrored = _MIRRORED.get(kind, kind) if kind is not None else None
                yield from self._compared(right, mirrored, left)
                left = right

    def _compared(self, side: ast.expr, operator: Any, other: ast.expr) -> Iterator[Need]:
        """What of a tensor, `side`, would have to be another to compare so with `other`."""
        if isinstance(side, ast.BinOp) and isinstance(side.op, ast.Mod) and operator is ast.Eq:
            found, factor = self._size(side.left), self._value(side.right)
            if found is not None and isinstance(factor, int) and factor > 0:
                tensor, dimension = found
                yield Need(tensor, "size", -(-tensor.shape[dimension] // factor) * factor, dimension)
            return
        whole = self._shaped(side)
        if whole is not None:
            if operator is ast.Eq and isinstance(self._value(other), tuple):
                wanted = tuple(self._value(other))
                if len(wanted) != whole.dim():
                    yield Need(whole, "rank", ranks=(len(wanted),))
                else:
                    for i, size in enumerate(wanted):
                        if size != whole.shape[i]:
                            yield Need(whole, "size", int(size), i)
            return
        ranked = self._ranked(side)
        if ranked is not None:
            yield Need(ranked, "rank", ranks=tuple(_fitting(operator, self._value(other))))
            return
        found = self._size(side)
        if found is not None:
            tensor, dimension = found
            for size in _fitting(operator, self._value(other)):
                if size != tensor.shape[dimension]:
                    yield Need(tensor, "size", size, dimension)

    def _value(self, node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "<check>", "eval"), self._frame.f_globals, self._frame.f_locals)

    def _tensor(self, node: ast.expr) -> Any:
        import torch

        if not isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
            return None
        value = self._value(node)
        return value if isinstance(value, torch.Tensor) else None

    def _shaped(self, node: ast.expr) -> Any:
        """The tensor of `x.shape` or `x.size()`."""
        if isinstance(node, ast.Call) and not node.args and isinstance(node.func, ast.Attribute):
            return self._tensor(node.func.value) if node.func.attr == "size" else None
        return self._tensor(node.value) if isinstance(node, ast.Attribute) and node.attr == "shape" else None

    def _ranked(self, node: ast.expr) -> Any:
        """The tensor of `x.dim()`, `x.ndim` or `len(x.shape)`."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len" and node.args:
            return self._shaped(node.args[0])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "dim":
            return self._tensor(node.func.value)
        return self._tensor(node.value) if isinstance(node, ast.Attribute) and node.attr == "ndim" else None

    def _size(self, node: ast.expr) -> tuple[Any, int] | None:
        """Tensor and dimension of `x.shape[1]`, `x.size(1)`, and of a name that got its value from one."""
        if isinstance(node, ast.Name):
            return self._named(node.id)
        if isinstance(node, ast.Subscript):
            tensor, index = self._shaped(node.value), node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "size":
            tensor, index = self._tensor(node.func.value), node.args[0]
        else:
            return None
        dimension = self._value(index) if tensor is not None else None
        return (tensor, dimension) if isinstance(dimension, int) else None

    def _named(self, name: str) -> tuple[Any, int] | None:
        function = next((each for each in reversed(self._around) if isinstance(each, ast.FunctionDef)), None)
        for node in ast.walk(function) if function is not None else ():
            if not isinstance(node, ast.Assign):
                continue
            target = node.targets[0]
            if isinstance(target, ast.Name) and target.id == name and not isinstance(node.value, ast.Name):
                return self._size(node.value)
            if isinstance(target, ast.Tuple):
                names = [each.id if isinstance(each, ast.Name) else "" for each in target.elts]
                tensor = self._shaped(node.value) if name in names else None
                if tensor is not None and len(names) == tensor.dim():
                    return tensor, names.index(name)
        return None


def _fitting(operator: Any, other: Any) -> list[int]:
    """Whole numbers that compare so with `other`."""
    if isinstance(other, bool):
        return []
    if isinstance(other, int):
        near = {ast.Eq: 0, ast.LtE: 0, ast.GtE: 0, ast.Lt: -1, ast.Gt: 1}.get(operator)
        return [] if near is None else [other + near]
    if operator is ast.In and isinstance(other, (tuple, list, set, range)):
        return [each for each in itertools.islice(other, 8) if isinstance(each, int)]
    return []
