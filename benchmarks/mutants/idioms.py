"""What a training program is made of, told by its text alone: optimizers, rounds, networks, losses.

Nothing here asks GradSense: who measures must not ask what is measured. It is narrow on purpose: what it isn't sure
of is no place for a mutant.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import libcst as cst
from benchmarks.mutants.host import Host

_OPTIMIZER = re.compile(r"(^|[._])(optim\w*|opt|opt_\w+|\w+_opt(im\w*)?|trainer_[dg])$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Build:
    """`name = torch.optim.X(...)`. `network` is the text M where the first argument is `M.parameters()`."""

    statement: cst.SimpleStatementLine
    call: cst.Call
    name: str
    kind: str
    network: str | None


@dataclass(frozen=True, slots=True)
class Round:
    """Clear, backward and step of one optimizer, side by side in one block."""

    optimizer: str
    block: list[cst.CSTNode]
    clear: cst.SimpleStatementLine | None
    backwards: list[cst.SimpleStatementLine]
    step: cst.SimpleStatementLine
    build: Build | None

    @property
    def backward(self) -> cst.SimpleStatementLine:
        return self.backwards[-1]


def is_optimizer(name: str) -> bool:
    """Whether a dotted name says that it is an optimizer's."""
    return bool(_OPTIMIZER.search(name)) and "sched" not in name.lower()


def statement_call(statement: cst.CSTNode) -> cst.Call | None:
    """The call of a line that is nothing else."""
    if isinstance(statement, cst.SimpleStatementLine) and len(statement.body) == 1:
        only = statement.body[0]
        if isinstance(only, cst.Expr) and isinstance(only.value, cst.Call):
            return only.value
    return None


def method_statement(host: Host, statement: cst.CSTNode, method: str) -> str | None:
    """The receiver X of a line `X.method(...)`."""
    call = statement_call(statement)
    if call is not None and isinstance(call.func, cst.Attribute) and call.func.attr.value == method:
        return host.code(call.func.value)
    return None


def assigned(statement: cst.CSTNode) -> tuple[cst.BaseExpression, cst.BaseExpression] | None:
    """Target and value of a plain assignment."""
    if isinstance(statement, cst.SimpleStatementLine) and len(statement.body) == 1:
        only = statement.body[0]
        if isinstance(only, cst.Assign) and len(only.targets) == 1:
            return only.targets[0].target, only.value
    return None


@functools.lru_cache(64)
def assignments(
    host: Host, root: cst.CSTNode | None = None
) -> list[tuple[cst.SimpleStatementLine, str, cst.BaseExpression]]:
    """Each plain assignment of a name or attribute: line, target's text, value."""
    found = []
    for statement in host.inside(root or host.module, cst.SimpleStatementLine):
        pair = assigned(statement)
        if pair is not None and isinstance(pair[0], cst.Name | cst.Attribute):
            found.append((statement, host.code(pair[0]), pair[1]))
    return found


@functools.lru_cache(2)
def builds(host: Host) -> list[Build]:
    """Each line that builds an optimizer of torch's."""
    found = []
    for statement, name, value in assignments(host):
        if not isinstance(value, cst.Call):
            continue
        called = host.called(value)
        if not re.fullmatch(r"torch\.optim\.[A-Z]\w+", called):
            continue
        network = None
        first = argument(value, 0, "params")
        if first is not None:
            network = parameters_of(host, first)
        found.append(Build(statement, value, name, called.rpartition(".")[2], network))
    return found


def argument(call: cst.Call, position: int, keyword: str = "") -> cst.BaseExpression | None:
    """An argument by position or keyword."""
    positional = [arg for arg in call.args if arg.keyword is None and not arg.star]
    for arg in call.args:
        if arg.keyword is not None and arg.keyword.value == keyword:
            return arg.value
    return positional[position].value if position < len(positional) else None


def parameters_of(host: Host, node: cst.BaseExpression) -> str | None:
    """The text M of an expression `M.parameters()`."""
    if (
        isinstance(node, cst.Call)
        and not node.args
        and isinstance(node.func, cst.Attribute)
        and node.func.attr.value == "parameters"
        and re.fullmatch(r"[\w.]+", host.code(node.func.value))
    ):
        return host.code(node.func.value)
    return None


@functools.lru_cache(2)
def rounds(host: Host) -> list[Round]:
    """Each optimizer's round that stands in one block, by hand-written steps."""
    built: dict[str, list[Build]] = {}
    for build in builds(host):
        built.setdefault(build.name, []).append(build)
    found: list[Round] = []
    seen: set[int] = set()
    for call, func in host.method_calls("step"):
        statement = host.statement_of(call)
        optimizer = host.code(func.value)
        if statement is None or call.args or statement_call(statement) is not call or not is_optimizer(optimizer):
            continue
        block = host.block_of(statement)
        if id(statement) in seen or len(block) < 2:
            continue
        seen.add(id(statement))
        one = built.get(optimizer, [])
        found.append(_round(host, statement, optimizer, block, one[0] if len(one) == 1 else None))
    return [each for each in found if each.backwards]


def _round(
    host: Host, step: cst.SimpleStatementLine, optimizer: str, block: list[cst.CSTNode], build: Build | None
) -> Round:
    at = block.index(step)
    begin = 0
    for number in range(at - 1, -1, -1):
        other = method_statement(host, block[number], "step")
        if other is not None and is_optimizer(other):
            begin = number + 1
            break
    backwards = [
        each
        for each in block[begin:at]
        if isinstance(each, cst.SimpleStatementLine) and method_statement(host, each, "backward") is not None
    ]
    names = {optimizer}
    if build is not None and build.network is not None:
        names.add(build.network)
    clears = [each for each in block if method_statement(host, each, "zero_grad") in names]
    clear = clears[0] if len(clears) == 1 and isinstance(clears[0], cst.SimpleStatementLine) else None
    return Round(optimizer, block, clear, backwards, step, build)


def steps_of(host: Host, optimizer: str) -> int:
    """How many calls step an optimizer, by its text."""
    return sum(1 for _, func in host.method_calls("step") if host.code(func.value) == optimizer)


def repeats(host: Host, node: cst.CSTNode) -> bool:
    """Whether the text says that a node runs again and again: in a loop, or its function is called in one."""
    if host.loops_around(node):
        return True
    function = host.function_of(node)
    if function is None:
        return False
    name = function.name.value
    for call in host.all(cst.Call):
        func = call.func
        called = (
            func.attr.value if isinstance(func, cst.Attribute) else func.value if isinstance(func, cst.Name) else None
        )
        if called == name and host.loops_around(call):
            return True
    return False


def sees(host: Host, name: str, build: Build, place: cst.CSTNode) -> bool:
    """Whether `name` at a place means what it means where an optimizer is built."""
    function, other = host.function_of(place), host.function_of(build.statement)
    if name.startswith("self."):
        return host.class_of(place) is not None and host.class_of(place) is host.class_of(build.statement)
    head = name.split(".")[0]
    if function is other:
        return True
    if function is None or host.class_of(place) is not None:
        return False
    parameters = {param.name.value for param in host.inside(function.params, cst.Param)}
    if head in parameters:
        return True
    written = {n for _, n, _ in assignments(host, function)}
    return other is None and head not in written


def network_at(host: Host, each: Round, place: cst.CSTNode) -> str | None:
    """The one network that a round's optimizer trains, if its name is known at a place."""
    if each.build is None or each.build.network is None:
        return None
    return each.build.network if sees(host, each.build.network, each.build, place) else None


def forwards(host: Host, each: Round) -> list[cst.SimpleStatementLine]:
    """The lines `out = network(...)` in front of a round's backward, in its block."""
    network = network_at(host, each, each.step)
    if network is None:
        return []
    end = each.block.index(each.backward)
    return [
        statement
        for statement in each.block[:end]
        if isinstance(statement, cst.SimpleStatementLine)
        and (pair := assigned(statement)) is not None
        and isinstance(pair[0], cst.Name)
        and isinstance(pair[1], cst.Call)
        and host.code(pair[1].func) == network
    ]


def only_forward(host: Host, each: Round) -> cst.SimpleStatementLine | None:
    """The line `out = network(...)` of a round, if it is the network's only call in the function."""
    found = forwards(host, each)
    network = network_at(host, each, each.step)
    root = host.function_of(each.step) or host.module
    calls = [call for call in host.inside(root, cst.Call) if host.code(call.func) == network]
    inside = [call for call in calls if any(above in each.block for above in (call, *host.above(call)))]
    return found[0] if len(found) == 1 and len(inside) == 1 and len(each.backwards) == 1 else None


def loss_of(host: Host, each: Round) -> tuple[str, cst.SimpleStatementLine] | None:
    """Name and line of a round's loss, where backward is called on a plain name assigned in the block."""
    name = method_statement(host, each.backward, "backward")
    if name is None or not name.isidentifier():
        return None
    end = each.block.index(each.backward)
    lines = [
        statement
        for statement in each.block[:end]
        if isinstance(statement, cst.SimpleStatementLine)
        and (pair := assigned(statement)) is not None
        and host.code(pair[0]) == name
    ]
    return (name, lines[-1]) if lines else None
