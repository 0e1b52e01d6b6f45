"""From a place in the text to the object of the program that stands there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath

import libcst as cst

from gradsense.program.facts import Build, Call, Fact, Forward, Make, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Instance, Kind, Site
from gradsense.rules.naming import assigned_name


def name_at(program: Program, offset: int) -> Place | None:
    """The name at an offset of the text, in the innermost block that parses; None if no name stands there."""
    found: Place | None = None
    for where, start, tree in program.file.blocks():
        if not start <= offset <= start + len(tree.text) or tree.block.hole is not None:
            continue
        for node in tree.block.index.by_kind.get(cst.Name, ()):
            place = Place(node, tree.block, where, start, tree)
            span = place.span
            if span is not None and span.start <= offset <= span.end:
                found = place
    return found


def expression_at(name: Place) -> Place:
    """The dotted name that ends at a name: all of `self.optimizer` for its last part."""
    above = name.parent()
    if above is not None and isinstance(above.node, cst.Attribute) and above.node.attr is name.node:
        return above
    return name


def called_method(name: Place) -> Place | None:
    """The call of which a name is the method: `optimizer.step(...)` for `step`."""
    attribute = expression_at(name)
    call = attribute.parent() if attribute.node is not name.node else None
    return call if call is not None and isinstance(call.node, cst.Call) and call.node.func is attribute.node else None


def objects_called(program: Program, expression: Place) -> list[Instance]:
    """The optimizers and Modules that the same definition knows under the name that `expression` spells."""
    spelt = expression.code()
    found: dict[Instance, None] = {}
    for place, instance, names in _named(program, expression.where.unit):
        if spelt in names(place):
            found[instance] = None
    return list(found)


def _named(program: Program, unit: str) -> Iterator[tuple[Place, Instance, Callable[[Place], set[str]]]]:
    kinds: tuple[type[Fact], ...] = (Build, Step, Make, Forward, Call)
    for fact in (fact for kind in kinds for fact in program.facts(kind)):
        instance = _object_of(fact)
        place = program.place(fact.site) if instance is not None and fact.site.where.unit == unit else None
        if instance is not None and place is not None:
            yield place, instance, _assigned if isinstance(fact, (Build, Make)) else _receiver


def _object_of(fact: Fact) -> Instance | None:
    if isinstance(fact, (Build, Step)):
        return fact.optimizer
    if isinstance(fact, Make):
        return fact.instance
    if isinstance(fact, Forward):
        return fact.module
    if isinstance(fact, Call) and isinstance(fact.receiver, Instance) and fact.receiver.kind in _KINDS:
        return fact.receiver
    return None


_KINDS = (Kind.OPTIMIZER, Kind.MODULE, Kind.LIGHTNING)


def _assigned(place: Place) -> set[str]:
    name = assigned_name(place)
    return {name} if name else set()


def _receiver(place: Place) -> set[str]:
    """`model` of `model(x)` and of `model.train()`; `optimizer` of `scaler.step(optimizer)`, too."""
    call = place.node
    if not isinstance(call, cst.Call):
        return set()
    names = {place.code(call.func)}
    if isinstance(call.func, cst.Attribute):
        names = {place.code(call.func.value)}
        if call.func.attr.value == "step" and call.args:
            names.add(place.code(call.args[0].value))
    return names


def words_for_line(program: Program, site: Site) -> str:
    """Where a site is: `on line 3`, for one in another file `in main.py, line 3`; nothing where that can't be told."""
    line = line_at(program, site)
    if line is not None:
        return f"on line {line}"
    line = program.line_elsewhere(site)
    return f"in {PurePath(site.where.path).name}, line {line}" if line else ""


def line_at(program: Program, site: Site | None) -> int | None:
    """The line of a site in this file; None for one elsewhere."""
    place = program.place(site)
    line = program.line_of(place) if place is not None else 0
    return line or None
