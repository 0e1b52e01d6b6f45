"""What rules ask about Modules: whether something is one for certain, and what it has below it."""

from __future__ import annotations

from collections.abc import Iterable

from gradsense.program import class_lookup, composition
from gradsense.program.entries import ClassFacts
from gradsense.program.knowledge import classes
from gradsense.program.objects import PART
from gradsense.program.program import Program
from gradsense.program.state import State
from gradsense.program.values import ClassValue, Instance, Obj, Parameters, Ref, Tensor, Value


def is_certainly_module(value: Value) -> bool:
    """Whether a value is a Module, and no attribute of a library's network that may also be a parameter."""
    if not isinstance(value, Instance) or not class_lookup.is_module(value):
        return False
    return not isinstance(value.type, Ref) or value.type.name != PART


def takes_attribute(program: Program, value: Value, name: str) -> bool:
    """Whether an object's class may treat an attribute of that name in a way of its own."""
    if not isinstance(value, Instance):
        return True
    if not isinstance(value.type, ClassValue):
        return False
    order, known = class_lookup.mro(program.script[0], value.type)
    own = {name, "__setattr__"}
    return not known or any(
        isinstance(cls, ClassValue) and (cls.broken or not own.isdisjoint(cls.members)) for cls in order
    )


def trainable_below(program: Program, state: State, value: Value) -> frozenset[Obj]:
    """The modules with parameters of their own, and the single parameters, below a Module and with it."""
    return composition.parameter_sources(program.script[0], state, value)[0]


def may_hold_others(program: Program, state: State, value: Instance) -> bool:
    """Whether a list or dictionary of Modules may hold some that were made elsewhere, and are known there too."""
    is_container = isinstance(value.type, Ref) and classes.is_container(value.type.name)
    return is_container and composition.parameter_sources(program.script[0], state, value)[1]


def registered_in(program: Program, facts: ClassFacts, state: State) -> set[Obj]:
    """Every Module and parameter that `parameters()` of a class's instance reaches."""
    run = program.script[0]
    found = {
        *composition.modules_below(run, state, facts.instance),
        *composition.parameter_sources(run, state, facts.instance)[0],
    }
    # What a method assigns may be assigned again later; and those that a loop registers, each under its own name, are
    # one value.
    for name, held in facts.attributes.items():
        if isinstance(held, Tensor) and held.made_by == "torch.nn.Parameter":
            found |= held.sources if name == "[added]" or held.parameter is not None else set()
    return found


def held_by_optimizers(program: Program, wanted: Iterable[Obj]) -> bool:
    """Whether some optimizer of the program holds one of these objects, whichever way they were made."""
    places = {(obj.site, obj.part) for obj in wanted}
    return any((obj.site, obj.part) in places for held in program.holdings.values() for obj in held.sources)


def asked_for_parameters(program: Program, wanted: Iterable[Obj]) -> bool:
    """Whether the program asks one of these objects itself for its parameters or its state."""
    places = {(obj.site, obj.part) for obj in wanted}
    return any(
        isinstance(fact.receiver, Instance) and (fact.receiver.obj.site, fact.receiver.obj.part) in places
        for _, fact in program.calls(*_GIVES_PARAMETERS)
    )


_GIVES_PARAMETERS = tuple(
    f"{kind}.{name}" for kind in ("Module", "Lightning") for name in ("parameters", "named_parameters")
)


def parameter_objects(value: Value) -> frozenset[Obj]:
    """The single parameters that a value consists of: nothing for what else it may depend on."""
    if isinstance(value, Parameters):
        return frozenset()
    if not isinstance(value, Tensor) or value.open:
        return frozenset()
    return frozenset(obj for obj in value.sources if obj.part == "parameter")
