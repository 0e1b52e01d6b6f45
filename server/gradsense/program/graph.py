"""The graph behind tensors: which calls it went through, which backward pass freed it, what carries it on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gradsense.program.facts import Need
from gradsense.program.run import Frame
from gradsense.program.state import State
from gradsense.program.values import (
    NOTHING,
    Carrier,
    Choice,
    Items,
    Obj,
    Site,
    Tensor,
    Trace,
    TupleValue,
    Value,
    options_of,
)


def node_at(frame: Frame, at: int) -> Obj:
    """The part of the graph that a call makes, new in each loop round."""
    return Obj(frame.site(at), frame.calls, "graph")


def through(state: State, value: Value, node: Obj) -> Value:
    """`value` as it comes out of the call of a layer that has made `node`."""
    state.spent.pop(node, None)
    if not isinstance(value, Tensor):
        return value
    return value._replace(trace=value.trace.with_(Trace(frozenset((node,)))))


def need(state: State, node: Obj, weights: frozenset[Obj], inputs: Sequence[Value]) -> None:
    """The call of a layer over `inputs` has made `node`: its backward pass needs the weights where a gradient goes on
    to the inputs. The layers of a `Sequential` are one node.
    """
    known = [value for value in inputs if isinstance(value, Tensor)]
    before = state.needs.pop(node, None)
    held: frozenset[Obj] = frozenset()
    if before is not None and any(node in value.trace.nodes for value in known):
        held = before.weights
    if any(value.sources or value.requires for value in known):
        held |= weights
    if held:
        state.needs[node] = Need(held)


def need_as_one(state: State, calls: tuple[Site, ...], node: Obj) -> frozenset[Obj]:
    """What the nodes made within a call need is from here on what that call's `node` needs."""
    weights: frozenset[Obj] = frozenset()
    for inner in [each for each in state.needs if each.calls[: len(calls)] == calls]:
        weights |= state.needs.pop(inner).weights
    state.needs.pop(node, None)
    if weights:
        state.needs[node] = Need(weights)
    return weights


def change_weights(state: State, weights: frozenset[Obj], step: Site) -> None:
    """A step changes weights in place: what was computed with them before can't be back-propagated any more."""
    for node, needed in state.needs.items():
        if needed.stepped is None and needed.weights & weights:
            state.needs[node] = needed._replace(stepped=step, changed=needed.weights & weights)


def needs_of_whichever(state: State, ways: Sequence[State]) -> None:
    """After a call on networks of which only one is ever made: what the graph of any of them needs is needed."""
    for node in {node for way in ways for node in way.needs}:
        found = [way.needs[node] for way in ways if node in way.needs]
        weights = frozenset().union(*(each.weights for each in found))
        state.needs[node] = state.needs.get(node, found[0])._replace(weights=weights)


def changed_behind(state: State, value: Value) -> Site | None:
    """The step that has changed weights which the backward pass through `value` needs; None if that isn't certain."""
    if not isinstance(value, Tensor):
        return None
    for node in sorted(value.trace.nodes):
        needed = state.needs.get(node)
        # What a network gives besides may have gone through others of its weights alone.
        if needed is not None and needed.changed & value.sources:
            return needed.stepped
    return None


def spend(state: State, value: Value, site: Site) -> None:
    """A backward pass through `value` frees the graph behind it."""
    for option in options_of(value):
        if isinstance(option, Tensor):
            for node in option.trace.nodes:
                state.spent[node] = site


def as_one(value: Value, calls: tuple[Site, ...], node: Obj) -> Value:
    """`value`, with what was made within a call told as that call's `node`."""

    def merged(tensor: Tensor) -> Tensor:
        nodes = tensor.trace.nodes
        inner = frozenset(each for each in nodes if each.calls[: len(calls)] == calls)
        if not inner:
            return tensor
        return tensor._replace(trace=tensor.trace._replace(nodes=(nodes - inner) | {node}))

    return _mapped(value, merged)


def renamed(value: Value, old: Obj, new: Obj) -> Value:
    """`value` as another call of the same function gives it."""

    def moved(tensor: Tensor) -> Tensor:
        nodes = tensor.trace.nodes
        if old not in nodes:
            return tensor
        return tensor._replace(trace=tensor.trace._replace(nodes=(nodes - {old}) | {new}))

    return _mapped(value, moved)


def in_attributes(held: dict[str, object], change: Callable[[Value], Value]) -> dict[str, object]:
    """An object's attributes with each tensor in them changed; the same dictionary if that changes nothing."""
    changed = {name: _in_attribute(value, change) for name, value in held.items()}
    return changed if any(changed[name] is not held[name] for name in held) else held


def carry_over(state: State, start: State, loop: Site) -> None:
    """A later round of `loop` begins: what the last one has put into variables and attributes is from then on old."""
    for number, names in state.frames.items():
        if start.frames.get(number) is not names:
            state.frames[number] = _carried(state, names, loop, None)
    for obj in state.heap.differing(start.heap):
        held = state.heap.get(obj, {})
        carried = _carried(state, held, loop, obj)
        if carried is not held:
            state.heap[obj] = carried


def _carried(state: State, held: dict[str, Any], loop: Site, owner: Obj | None) -> dict[str, Any]:
    carried = held
    for name, value in held.items():
        if isinstance(value, (bool, str, type(None))):
            continue

        def mark(tensor: Tensor, name: str = name) -> Tensor:
            if not tensor.trace.nodes:
                return tensor
            freed = next((state.spent[node] for node in sorted(tensor.trace.nodes) if node in state.spent), None)
            carriers = tensor.trace.carried | {Carrier(loop, name, owner, freed)}
            return tensor._replace(trace=tensor.trace._replace(nodes=NOTHING, carried=carriers))

        marked = _in_attribute(value, lambda each: _mapped(each, mark))
        if marked is not value:
            if carried is held:
                carried = dict(held)
            carried[name] = marked
    return carried


def _in_attribute(value: object, change: Callable[[Value], Value]) -> object:
    if isinstance(value, Items):
        exact = tuple([change(each) for each in value.exact]) if value.exact is not None else None
        element = change(value.element)
        same = element is value.element and (exact is None or _same(exact, value.exact or ()))
        return value if same else Items(exact, element, value.keys)
    return change(value) if isinstance(value, (Tensor, TupleValue, Choice)) else value


def _same(left: tuple[Value, ...], right: tuple[Value, ...]) -> bool:
    return all(one is other for one, other in zip(left, right, strict=True))


def _mapped(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """`value` with each tensor in it changed, and the same object if that changes nothing."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, TupleValue):
        items = tuple([_mapped(item, change) for item in value.items])
        return value if _same(items, value.items) else replace(value, items=items)
    if isinstance(value, Choice):
        options = tuple([_mapped(option, change) for option in value.options])
        return value if _same(options, value.options) else Choice(options)
    return value
