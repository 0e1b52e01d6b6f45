"""A Module class in words: its children and parameters, and how each is trained."""

from __future__ import annotations

from gradsense.insight.places import line_at
from gradsense.insight.sizes import size_of
from gradsense.insight.words import in_columns
from gradsense.program import composition
from gradsense.program.entries import ClassFacts
from gradsense.program.facts import Build, Make
from gradsense.program.module_methods import FROZEN
from gradsense.program.program import Program
from gradsense.program.values import Const, Instance, Obj, Ref, Tensor
from gradsense.rules.networks import type_name


def describe_class(program: Program, facts: ClassFacts) -> list[str]:
    """The lines of a hover over a Module class."""
    rows = list(_parts(program, facts))
    heading = f"{facts.name}: {'LightningModule' if facts.kind.value.startswith('lightning') else 'Module'}"
    if not rows:
        return [f"{heading}, no parameters known"]
    if not facts.known:
        heading += ", and what its bases may add"
    return [heading, *in_columns(rows)]


def _parts(program: Program, facts: ClassFacts) -> list[tuple[str, str, str]]:
    run = program.script[0]
    below = composition.modules_below(run, facts.state, facts.instance)
    trainable, _ = composition.parameter_sources(run, facts.state, facts.instance)
    made = {fact.instance.obj: fact for fact in program.facts(Make)}
    rows: dict[Obj, tuple[str, str, str]] = {}
    for obj, (name, instance) in below.items():
        if obj in trainable and obj != facts.instance.obj:
            rows[obj] = (name, _kind(program, made.get(obj), instance), _training(program, facts, obj))
        for attr, held in facts.state.attributes(obj).items():
            if isinstance(held, Tensor) and held.parameter is not None and held.parameter in trainable:
                path = f"{name}.{attr}".lstrip(".")
                rows[held.parameter] = (path, "Parameter", _training(program, facts, held.parameter))
    return [rows[obj] for obj in sorted(rows, key=_order)]


def _order(obj: Obj) -> tuple[tuple[int, ...], int]:
    return obj.site.where.steps, obj.site.at


def _kind(program: Program, made: Make | None, instance: Instance) -> str:
    size = size_of(made) if made is not None and isinstance(instance.type, Ref) else None
    return f"{type_name(instance)}, {size}" if size is not None else type_name(instance)


def _training(program: Program, facts: ClassFacts, obj: Obj) -> str:
    """Who trains a layer or parameter, whichever instance of the class it belongs to."""
    if facts.state.attribute(obj, FROZEN) == Const(True):
        return "frozen"
    place = (obj.site, obj.part)
    holders = [
        optimizer
        for optimizer, held in program.holdings.items()
        if any((each.site, each.part) == place for each in held.sources)
    ]
    lines = sorted(
        {
            line
            for build in program.facts(Build)
            if build.optimizer.obj in holders and (line := line_at(program, build.site)) is not None
        }
    )
    if holders:
        where = f" of line {', '.join(map(str, lines))}" if lines else ""
        return f"trained by the optimizer{where}"
    if not program.holdings or any(held.open for held in program.holdings.values()):
        return "no optimizer known"
    return "held by no optimizer"
