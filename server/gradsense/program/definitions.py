"""What a module's top level defines without doing anything: functions, classes, imports, other names for them.

A function or class is made again only if it, or what it names, has changed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gradsense.program import class_lookup, imported, ir, statements
from gradsense.program.lower import Lowered
from gradsense.program.run import Frame, Run
from gradsense.program.state import State
from gradsense.program.values import ClassValue, Const, FunctionValue, Ref, Unknown, Value, Where
from gradsense.source.blocks import BlockTree
from gradsense.source.memo import Memo

_METHOD = re.compile(r"\s*(?:@|(?:async\s+)?def\b)")
_FIXED = (Const, FunctionValue, Ref, Unknown)
"""Values of a class's members that hold nothing on the heap."""


class _Made(NamedTuple):
    """What a definition gave, and the module's variables of the names in it as they were before."""

    tree: BlockTree
    value: FunctionValue | ClassValue
    named: dict[str, Value]


_made: Memo[str, dict[Where, _Made]] = Memo(5_000)
"""By the file's path, those of the last text by place; as many in all. They refer to their trees: among the notes of
these they would stay until the collector comes by."""


def define(run: Run, frame: Frame, state: State, units: tuple[tuple[Where, int, BlockTree, Lowered], ...]) -> None:
    """Run those of a module's top-level blocks that only define, import and rename: their names go into `state`.

    The facts of decorators and class bodies are not recorded; running the module as a script does that.
    """
    plain = first_imports(units)
    imported.run_imports(run, frame, state, plain)
    begins = next((number for number, unit in enumerate(units) if _is_definition(unit)), len(units))
    leading = tuple(unit for unit in units[len(plain) : begins] if only_define(unit[3].statements))
    imported.run_imports(run, frame, state, leading, behind=plain)
    before = _made.get(frame.file.path) or {}
    now: dict[Where, _Made] = {}
    for unit in units[begins:]:
        where, _, tree, lowered = unit
        node = lowered.statements[0] if len(lowered.statements) == 1 else None
        if isinstance(node, (ir.Function, ir.Class)) and frame.file.mentioned_by_holes.isdisjoint(tree.names):
            made = _define(run, frame, state, unit, node, before.get(where))
            if made is not None:
                now[where] = made
        elif only_define(lowered.statements):
            statements.run_units(run, frame, state, (unit,))
    _made.put(frame.file.path, now, max(1, len(now)))


def first_imports(units: tuple[imported.Unit, ...]) -> tuple[imported.Unit, ...]:
    """The imports that a module begins with, behind its docstring, up to the first block of another kind."""
    end = next((number for number, unit in enumerate(units) if not all(map(_only_imports, unit[3].statements))), None)
    return units[:end]


def _only_imports(node: ir.Stmt) -> bool:
    is_text = isinstance(node, ir.Evaluate) and isinstance(node.value, ir.Constant)
    return is_text or isinstance(node, (ir.Import, ir.ImportFrom))


def forget(path: str) -> None:
    """Nobody looks at a file any more."""
    _made.drop(path)
    imported.forget(path)


def _is_definition(unit: imported.Unit) -> bool:
    statements = unit[3].statements
    return len(statements) == 1 and isinstance(statements[0], (ir.Function, ir.Class))


def only_define(body: ir.Body) -> bool:
    return not isinstance(body, ir.Slot) and all(map(_only_defines, body))


def _only_defines(node: ir.Stmt) -> bool:
    """Whether a statement only gives names to definitions, to what it imports, and to what has a name already."""
    if isinstance(node, ir.Assign):
        return all(isinstance(target, ir.Name) for target in node.targets) and is_plain(node.value)
    if isinstance(node, ir.If):
        return is_plain(node.test) and only_define(node.body) and only_define(node.orelse)
    if isinstance(node, ir.Try):
        bodies = (node.body, node.orelse, node.finalbody, *(body for _, _, body in node.handlers))
        return all(map(only_define, bodies))
    return isinstance(node, (ir.Function, ir.Class, ir.Import, ir.ImportFrom, ir.Jump))


def is_plain(node: ir.Expr | None) -> bool:
    """Whether an expression names things, and does nothing with them but compare."""
    if isinstance(node, ir.Attribute):
        return is_plain(node.value)
    if isinstance(node, (ir.Operation, ir.Boolean)):
        return all(map(is_plain, node.operands))
    return node is None or isinstance(node, (ir.Name, ir.Constant))


def _define(
    run: Run,
    frame: Frame,
    state: State,
    unit: tuple[Where, int, BlockTree, Lowered],
    node: ir.Function | ir.Class,
    made: _Made | None,
) -> _Made | None:
    """`made` is what the place gave last; gives what it gives now, None for what is made anew each time."""
    tree = unit[2]
    named = _named(state.frames[frame.number], tree, node)
    if made is None or made.tree is not tree or not _is_same(made.named, named):
        statements.run_units(run, frame, state, (unit,))
        value = state.variable(frame.number, node.name)
        if isinstance(value, (FunctionValue, ClassValue)) and is_fixed(value):
            return _Made(tree, value, named)
        return None
    state.set_variable(frame.number, node.name, made.value)
    if isinstance(made.value, ClassValue):
        class_lookup.register(run, made.value)
    return made


def _named(variables: dict[str, Value], tree: BlockTree, node: ir.Function | ir.Class) -> dict[str, Value]:
    """The variables that a definition may read: a function reads none before it is called, its decorators aside."""
    if isinstance(node, ir.Function) and not node.decorators:
        return {}
    return {name: variables[name] for name in tree.names if name in variables}


def _is_same(before: dict[str, Value], now: dict[str, Value]) -> bool:
    return before.keys() == now.keys() and all(
        # By identity: a class is equal to what it was before an edit of its methods.
        value is now[name] or (isinstance(value, (Ref, Const)) and value == now[name])
        for name, value in before.items()
    )


def own_text(cls: ClassValue) -> tuple[str, ...]:
    """What stands in the body of a class, its methods aside."""
    tree: BlockTree = cls.code.tree  # type: ignore[assignment]
    children = [child.text for suite in tree.suites for _, child in suite.children]
    return tuple(text for text in children if not _METHOD.match(text)) if children else (tree.text,)


def is_fixed(value: FunctionValue | ClassValue) -> bool:
    """Whether what a definition has made holds nothing on the heap."""
    return isinstance(value, FunctionValue) or all(isinstance(member, _FIXED) for member in value.members.values())
