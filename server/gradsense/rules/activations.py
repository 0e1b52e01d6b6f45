"""The activations that values come out of: who else reads them, and how to take one away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import libcst as cst

from gradsense.findings import Edit, Fix, Related, Safety
from gradsense.program.facts import Call, Forward, Store
from gradsense.program.places import Place
from gradsense.program.program import Program
from gradsense.program.values import Activation, ClassValue, Site, Tensor, TupleValue, Value, options_of
from gradsense.rules import edits
from gradsense.rules.loss_calls import LossCall, argument_node, losses_of_activations
from gradsense.rules.naming import assigned_name

_ORDER_ONLY = frozenset(f"{owner}.{name}" for owner in ("torch", "Tensor") for name in ("argmax", "argmin", "argsort"))
"""What reads no more of a value than the order of its numbers."""
_WITH_INDICES = frozenset(f"{owner}.{name}" for owner in ("torch", "Tensor") for name in ("max", "min", "topk"))
_OF_FORM = frozenset(f"Tensor.{name}" for name in ("size", "dim", "numel", "nelement", "is_contiguous", "element_size"))


def activations_of(value: Value | None, *kinds: str) -> tuple[Activation, ...]:
    """The activations of some kinds that a value is the result of, if it is that of one of them for certain."""
    if not isinstance(value, Tensor) or not value.activations:
        return ()
    if any(activation.kind not in kinds for activation in value.activations):
        return ()
    return tuple(sorted(value.activations, key=lambda activation: activation.site))


class Activated(NamedTuple):
    """A loss gets the result of an activation: `place` is the loss call, `code` the expression of its input."""

    loss: LossCall
    place: Place
    code: str
    activations: tuple[Activation, ...]


def activated(program: Program, losses: tuple[str, ...], *kinds: str) -> Iterator[Activated]:
    """Each call of some losses whose input is, for certain, the result of activations of some kinds."""
    for loss, found in losses_activated(program, losses, *kinds):
        each = at_its_loss(program, loss, found)
        if each is not None:
            yield each


def losses_activated(
    program: Program, losses: tuple[str, ...], *kinds: str
) -> Iterator[tuple[LossCall, tuple[Activation, ...]]]:
    """The same without the places: a rule that has more to ask of the activations asks for these when it has."""
    for loss in program.selected(losses_of_activations):
        found = activations_of(loss.input, *kinds) if loss.name in losses else ()
        if found:
            yield loss, found


def at_its_loss(program: Program, loss: LossCall, found: tuple[Activation, ...]) -> Activated | None:
    """The activations that a loss gets the result of, with its place; None where that is in another file."""
    place = program.place(loss.site)
    if place is None:
        return None
    node = argument_node(place, 0, "input")
    return Activated(loss, place, place.code(node) if node is not None else "its input", found)


def spelling(program: Program, activation: Activation) -> str:
    """How the program writes an activation: `F.softmax`, `nn.Softmax(dim=1)`; a word where that is in another file."""
    layer = program.place(activation.layer.site) if activation.layer is not None else None
    if layer is not None:
        return f"`{layer.code()}`"
    place = program.place(activation.site) if activation.layer is None else None
    if place is None or not isinstance(place.node, cst.Call):
        return activation.kind.replace("_", "-")
    func = place.node.func
    simple = isinstance(func, cst.Name) or (isinstance(func, cst.Attribute) and isinstance(func.value, cst.Name))
    return f"`{place.code(func)}`" if simple else f"`{activation.kind}`"


def related_activations(program: Program, activations: tuple[Activation, ...], note: str) -> tuple[Related | None, ...]:
    """The lines of activations, and of the layers that they are."""
    sites = [activation.site for activation in activations]
    sites += [activation.layer.site for activation in activations if activation.layer is not None]
    places = [program.place(site) for site in dict.fromkeys(sites)]
    return tuple(edits.note(place.span, note) for place in places if place is not None)


def holds(value: Value, site: Site) -> bool:
    """Whether the result of the activation at `site` may be in a value."""
    if isinstance(value, TupleValue):
        return any(holds(item, site) for item in value.items)
    return any(
        isinstance(option, Tensor) and any(activation.site == site for activation in option.activations)
        for option in options_of(value)
    )


def only_read_by(program: Program, activation: Activation, losses: tuple[str, ...]) -> bool:
    """Whether nothing but some losses reads the numbers of an activation's result, or what else needs no more than
    their order; and whether it goes nowhere that isn't followed.
    """
    site = activation.site
    if any(site in run.activations_read for run in program.runs) or _is_given_away(program, site):
        return False
    for forward in program.facts(Forward):
        if any(holds(value, site) for value in _given(forward)) and not _is_harmless(program, forward, site, losses):
            return False
    for call in program.facts(Call):
        values = [*_given(call), *([call.receiver] if call.receiver is not None else [])]
        if any(holds(value, site) for value in values) and not _is_harmless(program, call, site, losses):
            return False
    return True


def _given(fact: Call | Forward) -> Iterator[Value]:
    yield from fact.args
    for _, value in fact.keywords:
        yield value


def _is_harmless(program: Program, fact: Call | Forward, site: Site, losses: tuple[str, ...]) -> bool:
    if holds(fact.result, site) and not (isinstance(fact, Call) and fact.name in _WITH_INDICES):
        # The same numbers once more: whoever reads those is asked in turn.
        return True
    if isinstance(fact, Forward):
        # A network of the user's is followed: what reads the numbers stands in its forward.
        return fact.module.type.name in losses or isinstance(fact.module.type, ClassValue)
    if fact.name in losses or fact.name in _ORDER_ONLY or fact.name in _OF_FORM:
        return True
    return fact.name in _WITH_INDICES and _takes_indices(program, fact.site)


def _takes_indices(program: Program, site: Site) -> bool:
    """`_, predicted = out.max(1)`, `out.max(1)[1]`, `.indices`: the values themselves are not looked at."""
    place = program.place(site)
    above = place.parent() if place is not None else None
    if place is None or above is None:
        return False
    if isinstance(above.node, cst.Attribute):
        return above.node.attr.value == "indices"
    if isinstance(above.node, cst.Subscript):
        return above.code().endswith("[1]")
    if isinstance(above.node, cst.Assign):
        target = above.node.targets[0].target
        if isinstance(target, cst.Tuple) and len(target.elements) == 2:
            first = target.elements[0].value
            return isinstance(first, cst.Name) and first.value.startswith("_")
    return False


def _is_given_away(program: Program, site: Site) -> bool:
    """Whether a function that this file does not call returns the result, or an object keeps it."""
    if any(holds(store.value, site) for store in program.facts(Store)):
        return True
    runs = [*program.functions.values()]
    for facts in program.classes.values():
        runs += [run for name, run in facts.runs.items() if name != "forward"]
    return any(holds(returned.value, site) for run in runs for returned in run.returns)


def drop(program: Program, activation: Activation, safety: Safety) -> Fix | None:
    """Take an activation away: the call gives way to its argument, a layer of a Sequential is left out."""
    place = program.place(activation.site)
    if place is None or not isinstance(place.node, cst.Call):
        return None
    layer = program.place(activation.layer.site) if activation.layer is not None else None
    if activation.layer is not None:
        if layer is None:
            return None
        above = layer.parent()
        if above is not None and isinstance(above.node, cst.Arg):
            return _drop_from_sequential(program, layer, safety)
        if assigned_name(layer) != place.code(place.node.func):
            return None
    inner = _inner(program, place, activation)
    if inner is None or "#" in place.code():
        return None
    name = place.code(place.node.func)
    if name.count(".") and isinstance(place.node.func, cst.Attribute) and inner is place.node.func.value:
        name = place.node.func.attr.value
    edit = _replace_by(program, place, inner)
    return Fix(f"Drop `{name}`", (edit,), safety) if edit is not None else None


def _inner(program: Program, place: Place, activation: Activation) -> cst.BaseExpression | None:
    """What an activation is computed of: the receiver of a method, the first argument of a function or layer."""
    node = place.node
    assert isinstance(node, cst.Call)
    fact = next((fact for fact in program.facts(Call) if fact.site == activation.site), None)
    if activation.layer is None and fact is not None and fact.name.startswith("Tensor."):
        return node.func.value if isinstance(node.func, cst.Attribute) else None
    if not node.args or node.args[0].star:
        return None
    named = next((arg for arg in node.args if arg.keyword is not None and arg.keyword.value == "input"), None)
    if named is not None:
        return named.value
    return node.args[0].value if node.args[0].keyword is None else None


_SIMPLE = (cst.Name, cst.Attribute, cst.Call, cst.Subscript)


def _replace_by(program: Program, place: Place, inner: cst.BaseExpression) -> Edit | None:
    code, above = place.code(inner), place.parent()
    if (
        above is not None
        and isinstance(above.node, cst.Assign)
        and [place.code(target.target) for target in above.node.targets] == [code]
    ):
        return edits.delete_statement(program, above)
    alone = above is None or isinstance(above.node, (cst.Arg, cst.Assign, cst.Return))
    if not isinstance(inner, _SIMPLE) and not alone:
        code = f"({code})"
    in_brackets = above is not None and isinstance(above.node, cst.Arg)
    return edits.replace(place, place.node, code if in_brackets else edits.standing_alone(code))


def _drop_from_sequential(program: Program, layer: Place, safety: Safety) -> Fix | None:
    """Leave a layer out of the arguments of `nn.Sequential(...)`."""
    argument = layer.parent()
    call = argument.parent() if argument is not None else None
    if (
        argument is None
        or call is None
        or not isinstance(argument.node, cst.Arg)
        or not isinstance(call.node, cst.Call)
    ):
        return None
    func = call.node.func
    name = func.attr.value if isinstance(func, cst.Attribute) else getattr(func, "value", "")
    arguments = list(call.node.args)
    position = next((i for i, arg in enumerate(arguments) if arg is argument.node), 0)
    if name != "Sequential" or position == 0:
        return None
    edit = edits.delete_argument(program, call, position)
    return Fix(f"Drop `{layer.code()}`", (edit,), safety) if edit is not None else None
