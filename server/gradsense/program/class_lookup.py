"""Classes: their bodies, bases, members, and what kind of thing their instances are."""

from __future__ import annotations

from dataclasses import replace

from gradsense.program import ir, statements
from gradsense.program.knowledge import classes
from gradsense.program.knowledge.names import canonical
from gradsense.program.run import Frame, Run, statements_of
from gradsense.program.state import State
from gradsense.program.values import (
    NOTHING,
    UNKNOWN,
    Choice,
    ClassValue,
    Closure,
    Code,
    FunctionValue,
    Instance,
    Kind,
    Method,
    Partial,
    Ref,
    Value,
)


def build_class(
    run: Run, frame: Frame, state: State, node: ir.Class, code: Code, bases: tuple[Value, ...]
) -> ClassValue:
    """Run a class body; what it binds are the members."""
    number = run.frame_number()
    body = Frame(number, frame.file, frame.where, frame.tree, None, frame.closure, frame.calls, frame.rounds)
    body.closure = Closure(frame.file.path, (frame.number, *frame.closure.frames))
    holes: set[str] = set()
    broken = False
    value = ClassValue(code.name, code, bases, {}, NOTHING, False)
    body.owner = value
    outer_where, outer_tree = frame.where, frame.tree
    flow = statements.Flow()
    for where, tree, members in statements_of(body, node.body):
        body.where, body.tree = where, tree
        for member in members:
            if isinstance(member, ir.Hole):
                broken = True
                holes |= member.mentions
                if member.defines:
                    holes.add(member.defines)
                    state.set_variable(number, member.defines, UNKNOWN)
            elif isinstance(member, ir.Function):
                made = statements.make_function(run, body, state, member, owner=code.name)
                previous = state.variable(number, member.name)
                if isinstance(made, FunctionValue) and any(
                    d.endswith((".setter", ".deleter")) for d in made.decorators
                ):
                    made = previous if previous is not None else made
                state.set_variable(number, member.name, made)
            else:
                after = statements.merge(statements._HANDLERS[type(member)](run, body, member, state, flow))
                if after and after[0] is not state:
                    state.become(after[0])
    frame.where, frame.tree = outer_where, outer_tree
    members_dict = dict(state.frames.pop(number, {}))
    made_class = ClassValue(code.name, code, bases, members_dict, frozenset(holes), broken)
    for name, member_value in members_dict.items():
        if isinstance(member_value, FunctionValue) and member_value.code.where.path == frame.file.path:
            members_dict[name] = replace(
                member_value,
                closure=Closure(frame.file.path, frame.closure.frames if frame.code else ()),
                owner=made_class,
            )
    if frame.code is not None:
        for name, member_value in members_dict.items():
            if isinstance(member_value, FunctionValue) and member_value.code.where.path == frame.file.path:
                members_dict[name] = replace(
                    member_value, closure=Closure(frame.file.path, (frame.number, *frame.closure.frames))
                )
        run.local_classes[made_class.code.where] = made_class
    register(run, made_class)
    return made_class


def register(run: Run, cls: ClassValue) -> None:
    """Take a class for what its name and place stand for from here on."""
    run.imports.classes_as_of = object()
    run.imports.orders.clear()
    run.imports.found.clear()
    run.imports.classes.pop(cls, None)
    run.imports.classes[cls] = cls


def detached(cls: ClassValue) -> ClassValue:
    """A class that a function defines, as seen when that function no longer runs: what its methods use of the
    function's variables is unknown.
    """
    made = replace(cls, members=dict(cls.members))
    for name, member in made.members.items():
        if isinstance(member, FunctionValue):
            made.members[name] = replace(member, closure=Closure(member.closure.path), owner=made)
    return made


def find_member(run: Run, cls: ClassValue | Ref, name: str, after: ClassValue | None = None) -> tuple[str, Value]:
    """Look `name` up along the bases of `cls`, depth first.

    Gives (`found`, value), (`external`, `Ref` of the base outside the user's files), or (`unknown`, UNKNOWN) where
    a base or broken code could define it. With `after`, the search begins behind that class (`super()`).
    """
    if run.members_as_of is not run.imports.classes_as_of:
        run.members.clear()
        run.members_as_of = run.imports.classes_as_of
    key = cls, name, after
    found = run.members.get(key)
    if found is None:
        found = run.members[key] = _find_member(run, cls, name, after)
        if isinstance(cls, ClassValue):
            run.reads["member", cls, name, after] = found
    return found


def _find_member(run: Run, cls: ClassValue | Ref, name: str, after: ClassValue | None) -> tuple[str, Value]:
    order, known = mro(run, cls)
    begun = after is None
    for each in order:
        if not begun:
            begun = each == after
            continue
        if isinstance(each, ClassValue):
            if name in each.members:
                return "found", each.members[name]
            if name in each.holes:
                return "unknown", UNKNOWN
    for each in order:
        if isinstance(each, Ref) and classes.kind_of(each.name) not in (None, Kind.OTHER):
            return "external", each
    if not known:
        return "unknown", UNKNOWN
    return "external", next((each for each in reversed(order) if isinstance(each, Ref)), Ref("builtins.object"))


def mro(run: Run, cls: ClassValue | Ref) -> tuple[list[ClassValue | Ref], bool]:
    """The classes in order of look-up, and whether all of them are known."""
    cached = run.imports.orders.get(cls)
    if cached is None:
        asked: dict[str, tuple[str, ...] | None] = {}
        order, known = _mro(run, cls, asked)
        cached = order, known, asked
        run.imports.orders[cls] = cached
    elif cached[2]:
        for name in cached[2]:
            # Ask again, so that the answer is among what this run rests on.
            run.imports.ancestry(name)
    return cached[0], cached[1]


def _mro(
    run: Run, cls: ClassValue | Ref, asked: dict[str, tuple[str, ...] | None]
) -> tuple[list[ClassValue | Ref], bool]:
    order: list[ClassValue | Ref] = []
    known = True
    stack: list[Value] = [cls]
    while stack and len(order) < 40:
        each = stack.pop(0)
        if isinstance(each, Choice):
            known = False
            stack[:0] = list(each.options)
        elif isinstance(each, ClassValue):
            each = run.imports.classes.get(each, each)
            if each not in order:
                order.append(each)
                stack[:0] = list(each.bases)
        elif isinstance(each, Ref):
            if each in order:
                continue
            order.append(each)
            if classes.kind_of(each.name) is None and not each.name.startswith("builtins."):
                ancestry = run.imports.ancestry(each.name)
                asked[each.name] = ancestry
                if ancestry is None:
                    known = False
                else:
                    stack[:0] = [Ref(canonical(name)) for name in ancestry]
        elif isinstance(each, Instance):
            known = False
        else:
            known = False
    return order, known


def is_enumeration(run: Run, cls: ClassValue) -> bool:
    """Whether the members of a class are constants that equal nothing but themselves: no text or number as well."""
    order, known = mro(run, cls)
    names = {each.name for each in order if isinstance(each, Ref)}
    own = any(isinstance(each, ClassValue) and "__eq__" in each.members for each in order)
    return known and not own and "enum.Enum" in names and names <= {"enum.Enum", "builtins.object"}


def kind_of_class(run: Run, cls: ClassValue | Ref) -> tuple[Kind, bool]:
    """The kind of a class's instances, and whether all of it is known: every base, and no broken code in it."""
    order, known = mro(run, cls)
    known = known and not any(isinstance(each, ClassValue) and each.broken for each in order)
    kinds = {classes.kind_of(each.name) for each in order if isinstance(each, Ref)}
    for kind in (
        Kind.LIGHTNING,
        Kind.MODULE,
        Kind.OPTIMIZER,
        Kind.SCHEDULER,
        Kind.SCALER,
        Kind.ENGINE,
        Kind.DATA,
        Kind.DISTRIBUTION,
    ):
        if kind in kinds:
            return kind, known
    return Kind.OTHER, known


def is_module(value: Value) -> bool:
    return isinstance(value, Instance) and value.kind in (Kind.MODULE, Kind.LIGHTNING)


def external_class(instance: Instance, run: Run) -> str:
    """The canonical name of the nearest class from outside the user's files; empty if there is none."""
    if isinstance(instance.type, Ref):
        return instance.type.name
    return next((each.name for each in mro(run, instance.type)[0] if isinstance(each, Ref)), "")


TRAINS = "?training"
"""Stands beside the names of decorators if one of the user's own, which isn't followed, may clear, compute or apply
gradients around each call."""


def decorator_name(value: Value) -> str:
    """The dotted name of a decorator: `torch.no_grad` for both `@torch.no_grad` and `@torch.no_grad()`."""
    if isinstance(value, Ref):
        return value.name
    if isinstance(value, Instance) and isinstance(value.type, Ref):
        return value.type.name
    if isinstance(value, Partial) and isinstance(value.function, Ref):
        return value.function.name
    if isinstance(value, Method):
        return f"?.{value.name}"
    if isinstance(value, FunctionValue):
        return f"?.{value.code.name}"
    return "?"
