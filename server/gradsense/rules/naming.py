"""The names by which the user's code knows the things that a message speaks of."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.program.facts import Build, Call, Forward
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Code, Instance, Kind, Obj

_MODULES = (Kind.MODULE, Kind.LIGHTNING)


def assigned_name(place: Place | None) -> str | None:
    """`net` for the place of `Net()` in `net = Net()` and `net, x = Net(), 1`, `nets["a"]` in `nets = {"a": Net()}`;
    None if the value isn't assigned to a name or attribute.
    """
    here = place
    key = ""
    position: tuple[int, int] | None = None
    while here is not None:
        above = here.parent()
        if above is None:
            return None
        node = above.node
        if isinstance(node, cst.DictElement):
            key = f"[{here.code(node.key)}]{key}"
        if isinstance(node, cst.Call):
            position = None
        elif isinstance(node, cst.Tuple) and isinstance(here.node, cst.Element):
            position = node.elements.index(here.node), len(node.elements)
        if isinstance(node, cst.Assign):
            target: cst.CSTNode = node.targets[0].target
            if isinstance(target, (cst.Tuple, cst.List)) and here.node is node.value and position is not None:
                number, count = position
                starred = any(isinstance(each, cst.StarredElement) for each in target.elements)
                target = target.elements[number].value if len(target.elements) == count and not starred else target
            return here.code(target) + key if isinstance(target, (cst.Name, cst.Attribute)) else None
        if isinstance(node, cst.AnnAssign):
            return here.code(node.target)
        if isinstance(node, (cst.BaseCompoundStatement, cst.SimpleStatementLine)):
            return None
        here = above
    return None


def name_in(program: Program, run: Run, obj: Obj, function: Code | None) -> str | None:
    """How a function calls an object: by a method call on it there, or where it is made there; None if it does not."""
    for fact in run.facts:
        if fact.context.function != function:
            continue
        if isinstance(fact, Call) and isinstance(fact.receiver, Instance) and fact.receiver.obj == obj:
            place = program.place(fact.site)
            if place is not None and isinstance(place.node, cst.Call) and isinstance(place.node.func, cst.Attribute):
                return place.code(place.node.func.value)
        if isinstance(fact, Build) and fact.optimizer.obj == obj:
            return assigned_name(program.place(fact.site))
    return None


def name_of(program: Program, obj: Obj, fallback: str) -> str:
    """The name that an object is given where it is made, or `fallback`."""
    return assigned_name(program.place(obj.site)) or fallback


def modules_named(program: Program, place: Place) -> Iterator[tuple[Run, Code | None]]:
    """The runs in which what an expression at a place spells (`model`, `self.model`) is a Module, by what is called on
    it or by its own call in the same top-level definition; each with the function of that call.
    """
    spelt = place.code()
    seen: set[tuple[int, Code | None]] = set()
    found: list[tuple[Run, Call | Forward]] = [*program.runs_with_facts(Call), *program.runs_with_facts(Forward)]
    for run, fact in found:
        key = id(run), fact.context.function
        receiver = fact.module if isinstance(fact, Forward) else fact.receiver
        if fact.site.where.unit != place.where.unit or key in seen:
            continue
        if not isinstance(receiver, Instance) or receiver.kind not in _MODULES:
            continue
        there = program.place(fact.site)
        if there is None or not isinstance(there.node, cst.Call):
            continue
        func = there.node.func
        named = func.value if isinstance(fact, Call) and isinstance(func, cst.Attribute) else func
        if there.code(named) == spelt:
            seen.add(key)
            yield run, fact.context.function
