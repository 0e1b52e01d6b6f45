"""Graphs that come from a loop's last round: by which variables, and how to leave them behind."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.findings import Edit
from gradsense.program.facts import Backward, Forward, Local, Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Carrier, Instance, Tensor, TupleValue, Value
from gradsense.rules import edits
from gradsense.rules.networks import in_words


def carriers(backward: Backward) -> list[Carrier]:
    """How the graph that is back-propagated comes from the last round of a loop around it."""
    if not isinstance(backward.value, Tensor):
        return []
    loops = {each.site for each in backward.context.rounds if each.later}
    return sorted(each for each in backward.value.trace.carried if each.loop in loops)


def names_of(found: list[Carrier]) -> str:
    """The variables, in words."""
    return in_words(list(dict.fromkeys(each.name if each.owner is None else f"self.{each.name}" for each in found)))


def assignments(program: Program, run: Run, carrier: Carrier) -> Iterator[tuple[Place, Value]]:
    """Where the variable gets what it carries on: places in the loop, with the value."""
    for fact in run.facts:
        if not any(each.site == carrier.loop for each in fact.context.rounds):
            continue
        if isinstance(fact, Local):
            named = carrier.owner is None and fact.name == carrier.name
        elif isinstance(fact, Store):
            owner = fact.receiver.obj if isinstance(fact.receiver, Instance) else None
            named = owner is not None and owner == carrier.owner and fact.attr == carrier.name
        else:
            continue
        place = program.place(fact.site) if named and _has_graph(fact.value) else None
        if place is not None:
            yield place, fact.value


def _has_graph(value: Value) -> bool:
    if isinstance(value, TupleValue):
        return any(_has_graph(item) for item in value.items)
    return isinstance(value, Tensor) and bool(value.trace.nodes)


def detach_behind(program: Program, run: Run, backward: Backward, found: list[Carrier]) -> Edit | None:
    """Detach what is carried on, behind the backward pass; None where that can't be spelt."""
    called = program.place(backward.site)
    if called is None:
        return None
    targets: list[str] = []
    values: list[str] = []
    for carrier in dict.fromkeys(each._replace(freed=None) for each in found):
        seen = list(assignments(program, run, carrier))
        spelt = _spelling(program, run, backward, carrier)
        if spelt is None or not seen or (carrier.owner is None and not _is_local(run, backward, carrier)):
            return None
        kinds = {type(value) for _, value in seen}
        if kinds == {Tensor}:
            values.append(f"{spelt}.detach()")
        elif kinds == {TupleValue} and all(_is_flat(value) for _, value in seen):
            values.append(f"tuple(each.detach() for each in {spelt})")
        else:
            return None
        targets.append(spelt)
    return edits.insert_after(program, called, f"{', '.join(targets)} = {', '.join(values)}")


def _is_flat(value: Value) -> bool:
    return isinstance(value, TupleValue) and all(isinstance(item, Tensor) for item in value.items)


def _is_local(run: Run, backward: Backward, carrier: Carrier) -> bool:
    """Whether the variable belongs to the function (or the module's body) that the backward pass stands in."""
    return all(
        fact.context.function == backward.context.function
        for fact in run.facts_of(Local)
        if fact.name == carrier.name and carrier.loop in {r.site for r in fact.context.rounds}
    )


def _spelling(program: Program, run: Run, backward: Backward, carrier: Carrier) -> str | None:
    """What the function with the backward pass calls the variable."""
    if carrier.owner is None:
        return carrier.name
    for fact in run.facts_of(Forward):
        if fact.module.obj == carrier.owner:
            place = program.place(fact.site)
            if fact.context.function == backward.context.function and place is not None:
                func = place.node.func if isinstance(place.node, cst.Call) else None
                return f"{place.code(func)}.{carrier.name}" if isinstance(func, cst.Name) else None
    return None
