"""Networks that follow another one: what loads or mixes which weights into which, and where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gradsense.program import composition
from gradsense.program.facts import Call, Context
from gradsense.program.module_methods import STATE_DICT
from gradsense.program.program import Program
from gradsense.program.run import Run
from gradsense.program.values import Const, Instance, Obj, Parameters, Partial, Ref, Site, Tensor, Value

_LOADS = frozenset({"Module.load_state_dict", "Lightning.load_state_dict"})


class Update(NamedTuple):
    """Weights are written into `sources`. `origin`: the parameters that they come from; None if that can't be told."""

    run: Run
    site: Site
    context: Context
    sources: frozenset[Obj]
    origin: frozenset[Obj] | None
    value: Value | None
    how: str = ""
    """The method that writes: `copy_`, or `data` for an assignment; empty for a state that is loaded."""


def updates(program: Program, run: Run) -> Iterator[Update]:
    """Everything that a run writes into weights, optimizers aside."""
    for fact in run.facts:
        if isinstance(fact, Call) and fact.name in _LOADS and isinstance(fact.receiver, Instance):
            given = fact.args[0] if fact.args else None
            held = parts(program, run, fact.receiver)
            if isinstance(given, Partial) and given.function == Ref(STATE_DICT) and isinstance(given.args[0], Instance):
                yield Update(run, fact.site, fact.context, held, parts(program, run, given.args[0]), None)
            else:
                yield Update(run, fact.site, fact.context, held, None, None)
        elif isinstance(fact, Call) and fact.name == "Parameters.update" and isinstance(fact.receiver, Parameters):
            given = fact.args[0] if fact.args else None
            how = dict(fact.keywords).get("how")
            name = str(how.value) if isinstance(how, Const) else ""
            yield Update(run, fact.site, fact.context, fact.receiver.sources, _origin(given), given, name)


def _origin(value: Value | None) -> frozenset[Obj] | None:
    return value.sources if isinstance(value, (Tensor, Parameters)) and not value.open else None


def parts(program: Program, run: Run, module: Instance) -> frozenset[Obj]:
    """The parts of a network that have parameters."""
    return composition.parameter_sources(run, run.end or program.script[1], module)[0]


def followers(program: Program, run: Run) -> frozenset[Obj]:
    """The parts of networks that take over other networks' weights as the program goes on."""
    found: frozenset[Obj] = frozenset()
    for update in updates(program, run):
        if update.origin is not None and update.origin - update.sources:
            found |= update.sources
    return found
