"""The networks that a run makes, and the names of their parts: what a message calls a layer or parameter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gradsense.program import class_lookup, composition
from gradsense.program.facts import Call, Make
from gradsense.program.knowledge import classes, graph_layers
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.state import State
from gradsense.program.values import Instance, Obj, Ref, Site, Tensor
from gradsense.rules.naming import assigned_name

_MOST_NAMES = 4


@dataclass(frozen=True, slots=True)
class Network:
    """A Module that is part of no other: where it is made, and the dotted names of what has parameters in it.

    `is_own`: it is the `self` of the class whose method runs.
    """

    instance: Instance
    site: Site
    parts: dict[Obj, str]
    is_own: bool = False

    def variable(self, program: Program) -> str | None:
        """Its name where it is made."""
        return "self" if self.is_own else assigned_name(program.place(self.site))


def networks(program: Program, run: Run) -> list[Network]:
    """The networks that a run knows of, those of the script and of the class that it is in included."""
    known = program.derived(_by_run)
    if run not in known:
        known[run] = _networks(program, run)
    return known[run]


def _by_run(program: Program) -> dict[Run, list[Network]]:
    """Those that have been asked for."""
    return {}


def _networks(program: Program, run: Run) -> list[Network]:
    state = run.end or program.script[1]
    made: dict[Obj, tuple[Instance, Site]] = {}
    for source in runs_before(program, run):
        for fact in source.facts:
            if isinstance(fact, Make):
                made.setdefault(fact.instance.obj, (fact.instance, fact.site))
            elif isinstance(fact, Call) and fact.name == "copy.deepcopy" and class_lookup.is_module(fact.result):
                assert isinstance(fact.result, Instance)
                made.setdefault(fact.result.obj, (fact.result, fact.site))
    found: list[Network] = []
    outer: list[tuple[Instance, Site, dict[Obj, str]]] = []
    inner: set[Obj] = set()
    for facts in program.classes.values():
        if facts.is_module and run.entry.startswith(f"{facts.name}."):
            below, parts = _parts(run, facts.state, facts.instance)
            inner |= below - {facts.instance.obj}
            found.append(Network(facts.instance, facts.site, parts, is_own=True))
    for instance, site in made.values():
        below, parts = _parts(run, state, instance)
        inner |= below.union(parts) - {instance.obj}  # a layer made for its weight alone is the attribute that has it
        outer.append((instance, site, parts))
    found += [Network(instance, site, parts) for instance, site, parts in outer if instance.obj not in inner and parts]
    return [network for network in found if network.instance.obj not in inner and network.parts]


def runs_before(program: Program, run: Run) -> list[Run]:
    """The runs whose objects a run has: the script, the `__init__` of the class that it is in, and itself."""
    initial = f"{run.entry.partition('.')[0]}.__init__"
    return list(dict.fromkeys((program.script[0], *(each for each in program.runs if each.entry == initial), run)))


def _parts(run: Run, state: State, root: Instance) -> tuple[set[Obj], dict[Obj, str]]:
    below = composition.modules_below(run, state, root)
    trainable, _ = composition.parameter_sources(run, state, root)
    parts = {obj: name for obj, (name, _) in below.items() if obj in trainable}
    for obj, (name, _) in below.items():
        for attr, held in state.attributes(obj).items():
            if isinstance(held, Tensor) and held.parameter in trainable:
                parts.setdefault(held.parameter, f"{name}.{attr}".lstrip("."))
    return set(below), parts


def part_names(program: Program, network: Network, sources: Iterable[Obj]) -> list[str]:
    """What to call some parts of a network: the whole, children that are all there, or layers."""
    wanted = set(sources)
    mine = {obj: name for obj, name in network.parts.items() if obj in wanted}
    if not mine:
        return []
    if len(mine) == len(network.parts):
        return [network.variable(program) or type_name(network.instance)]
    names: dict[str, None] = {}
    for obj in sorted(mine, key=lambda each: (each.site.where.steps, each.site.at, _order(mine[each]))):
        first = mine[obj].partition(".")[0]
        siblings = [each for each, name in network.parts.items() if name.partition(".")[0] == first]
        names[first if wanted.issuperset(siblings) else mine[obj]] = None
    return list(names)


def _order(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def names_of(program: Program, run: Run, sources: frozenset[Obj]) -> str:
    """The parts as a list in words, in code marks; empty if none has a name."""
    names: list[str] = []
    for network in networks(program, run):
        names += [name for name in part_names(program, network, sources) if name not in names]
    return in_words(names)


def in_words(names: list[str]) -> str:
    """`a`, `b` and `c`; beyond a few only how many more."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > _MOST_NAMES:
        quoted = [*quoted[: _MOST_NAMES - 1], f"{len(quoted) - _MOST_NAMES + 1} more"]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else "".join(quoted)


def type_name(instance: Instance) -> str:
    """The name of an object's class."""
    return instance.type.name.rpartition(".")[2]


def fresh(program: Program, run: Run, sources: frozenset[Obj]) -> frozenset[Obj]:
    """Those of `sources` that begin at random values: the file's own parameters, layers of `torch.nn` and over graphs.

    What a library makes may come with weights.
    """
    own: set[Obj] = set()
    for network in networks(program, run):
        own.update(network.parts)
    made = {
        fact.instance.obj
        for source in runs_before(program, run)
        for fact in source.facts_of(Make)
        if isinstance(fact.instance.type, Ref) and _is_layer(fact.instance.type.name)
    }
    return frozenset(obj for obj in sources & own if obj in made or obj.part == "parameter")


def _is_layer(name: str) -> bool:
    return classes.is_layer(name) or graph_layers.is_graph_layer(name)
