"""An optimizer in words: what it was made with, what it holds, what it leaves out, when it steps."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from gradsense.insight.order import origin_of_gradients
from gradsense.insight.places import line_at, words_for_line
from gradsense.insight.sizes import Size, size_of
from gradsense.insight.words import in_columns, listed
from gradsense.program.facts import Build, Make, Step
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Instance, Obj
from gradsense.rules.naming import assigned_name
from gradsense.rules.networks import Network, networks, part_names

_LONGEST_SETTING = 60


def describe_optimizer(program: Program, optimizer: Instance) -> list[str]:
    """The lines of a hover over an optimizer."""
    built = next(_built(program, optimizer), None)
    title = optimizer.type.name.rpartition(".")[2]
    if built is None:
        return [f"{title}, made elsewhere: what it holds is not known here", *in_columns(_steps(program, optimizer))]
    run, build = built
    place = program.place(build.site) or program.place_elsewhere(build.site)
    name = assigned_name(place) if place is not None else None
    where = words_for_line(program, build.site)
    heading = f"{name or 'optimizer'}: {title}({_settings(place)})" + (f", built {where}" if where else "")
    held = program.holdings.get(optimizer.obj, build.holdings)
    rows: list[tuple[str, str, str]] = []
    for network in networks(program, run):
        rows += _coverage(program, network, held.sources, optimizer.obj)
    if held.open:
        rows.append(("holds", "also what is not known here", ""))
    return [heading, *in_columns([*rows, *_steps(program, optimizer)])]


def _built(program: Program, optimizer: Instance) -> Iterator[tuple[Run, Build]]:
    """Where an optimizer is built: in this file, or in one that calls it."""
    for run in program.runs:
        yield from ((run, build) for build in run.facts_of(Build) if build.optimizer.obj == optimizer.obj)


def _settings(place: Place | None) -> str:
    if place is None or not isinstance(place.node, cst.Call):
        return ""
    written = (" ".join(place.code(arg).split()).rstrip(", ") for arg in place.node.args if _is_setting(arg))
    return ", ".join(each if len(each) <= _LONGEST_SETTING else f"{each[: _LONGEST_SETTING - 1]}…" for each in written)


def _is_setting(arg: cst.Arg) -> bool:
    return arg.keyword is not None and arg.keyword.value != "params"


def _coverage(program: Program, network: Network, held: frozenset[Obj], optimizer: Obj) -> list[tuple[str, str, str]]:
    mine = held & network.parts.keys()
    if not mine:
        return []
    rows = [("holds", listed(_names(program, network, mine)), str(total_size(program, mine) or ""))]
    missing = network.parts.keys() - held
    if missing:
        others = frozenset().union(*(h.sources for obj, h in program.holdings.items() if obj != optimizer))
        elsewhere, nobody = missing & others, missing - others
        if elsewhere:
            rows.append(("misses", listed(_names(program, network, elsewhere)), "held by another optimizer"))
        if nobody:
            rows.append(("misses", listed(_names(program, network, nobody)), "held by no optimizer"))
    return rows


def _names(program: Program, network: Network, sources: frozenset[Obj] | set[Obj]) -> list[str]:
    names = part_names(program, network, sources)
    whole = network.variable(program)
    return [name if name == whole or not whole else f"{whole}.{name}" for name in names]


def total_size(program: Program, sources: frozenset[Obj] | set[Obj]) -> Size | None:
    """The size of some layers together; None if one of them isn't told by the program."""
    made = {fact.instance.obj: fact for fact in program.facts(Make) if fact.instance.obj in sources}
    sizes = [size_of(made[obj]) if obj in made else None for obj in sources]
    if not sizes or None in sizes:
        return None
    known = [size for size in sizes if size is not None]
    return Size(sum(size.parameters for size in known), sum(size.tensors for size in known))


def _steps(program: Program, optimizer: Instance) -> list[tuple[str, str, str]]:
    found: dict[int, str] = {}
    for step in program.facts(Step):
        line = line_at(program, step.site)
        if step.optimizer.obj == optimizer.obj and line is not None:
            found[line] = origin_of_gradients(program, step)
    if not found:
        return [("steps", "nowhere in this file", "")]
    return [("steps", f"line {line}", how) for line, how in sorted(found.items())]
