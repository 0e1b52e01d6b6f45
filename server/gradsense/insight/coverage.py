"""How many of a network's parameters an optimizer holds, where the program tells it exactly.

Exactly: every attribute of the network and of what is in it is known, every layer is one of `torch.nn` whose number of
tensors follows from its arguments, and the optimizer was given modules or single parameters as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gradsense.findings import Span
from gradsense.insight.optimizers import describe_optimizer
from gradsense.insight.sizes import size_of
from gradsense.program.facts import Build, Holdings, Make
from gradsense.program.knowledge import classes
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.state import State
from gradsense.program.values import (
    ClassValue,
    Collection,
    Const,
    Instance,
    Items,
    Kind,
    Obj,
    Ref,
    Tensor,
    TupleValue,
)
from gradsense.rules.networks import networks

_UNCOUNTABLE = frozenset(
    {
        *("weight_norm", "spectral_norm", "parametrize", "parametrizations", "prune"),
        *("setattr", "__setattr__", "add_module", "register_module", "register_parameter", "delattr"),
    }
)
"""What replaces a layer's parameters by others, or may make attributes whose names the text doesn't tell."""

_READS = re.compile(r"\.requires_grad\b(?!\s*=[^=])")
_WRITES = re.compile(r"\.requires_grad\s*=[^=]|\brequires_grad_\(")


class Coverage(NamedTuple):
    """An optimizer's call, the parameters (tensors) that it holds, and all of the networks that they belong to."""

    span: Span
    held: int
    of: int
    lines: tuple[str, ...]
    """What a hover tells of the optimizer."""


def coverage(program: Program) -> list[Coverage]:
    """That of each optimizer of which it is exactly known, in order of position."""
    if not _UNCOUNTABLE.isdisjoint(program.file.document.names):
        return []
    if _READS.search(program.text) and _WRITES.search(program.text):
        return []  # Perhaps the frozen ones are left out.
    found: dict[Span, set[tuple[int, int]]] = {}
    built: dict[Span, Instance] = {}
    for run, build in program.runs_with_facts(Build):
        place = program.place(build.site)
        if place is not None and place.span is not None:
            found.setdefault(place.span, set()).add(_counted(program, run, build) or (0, 0))
            built[place.span] = build.optimizer
    return [
        Coverage(span, *counts[0], tuple(describe_optimizer(program, built[span])))
        for span in sorted(found)
        # Of a call that is reached in several ways, only what is the same in all of them.
        if len(counts := list(found[span])) == 1 and counts[0] != (0, 0)
    ]


def _counted(program: Program, run: Run, build: Build) -> tuple[int, int] | None:
    held = program.holdings.get(build.optimizer.obj, build.holdings)
    if not held.sources or not _is_exact(held):
        return None
    made = {fact.instance.obj: fact for fact in program.facts(Make)}
    counts: dict[Obj, int] = {}
    for network in networks(program, run):
        if held.sources.isdisjoint(network.parts):
            continue
        own = program.classes.get(network.instance.type.name) if network.is_own else None
        state = own.state if own is not None else run.end or program.script[1]
        try:
            counts |= dict(_tensors(program, state, made, network.instance))
        except _NotKnown:
            return None
    if not held.sources <= counts.keys():
        return None
    return sum(counts[source] for source in held.sources), sum(counts.values())


def _is_exact(held: Holdings) -> bool:
    single = all(source in held.whole or source.part == "parameter" for source in held.sources)
    return not held.open and not held.partial and single


class _NotKnown(Exception):
    """How many tensors something has can't be told."""


def _tensors(program: Program, state: State, made: dict[Obj, Make], module: Instance) -> Iterator[tuple[Obj, int]]:
    """The number of tensors of each layer and parameter in a module. Raises `_NotKnown`."""
    kind, attributes = module.type, state.attributes(module.obj)
    if isinstance(kind, ClassValue):
        facts = program.classes.get(kind.name)
        if facts is None or not facts.known:
            raise _NotKnown
        for name, value in attributes.items():
            if not name.startswith("["):
                yield from _of_value(program, state, made, value)
    elif isinstance(kind, Ref) and classes.is_container(kind.name):
        items = attributes.get("[items]")
        if not isinstance(items, Items) or items.exact is None:
            raise _NotKnown
        for item in items.exact:
            yield from _of_value(program, state, made, item)
    elif isinstance(kind, Ref) and classes.has_parameters(kind.name):
        fact = made.get(module.obj)
        size = size_of(fact) if fact is not None and not fact.context.rounds else None
        # Tied to another layer's, or replaced.
        if size is None or any(isinstance(value, Tensor) for value in attributes.values()):
            raise _NotKnown
        yield module.obj, size.tensors


def _of_value(program: Program, state: State, made: dict[Obj, Make], value: object) -> Iterator[tuple[Obj, int]]:
    if isinstance(value, Instance) and value.kind in (Kind.MODULE, Kind.LIGHTNING):
        yield from _tensors(program, state, made, value)
    elif isinstance(value, Tensor):
        if value.parameter is not None:
            yield value.parameter, 1
    elif not isinstance(value, (Const, Collection, TupleValue)):
        raise _NotKnown
