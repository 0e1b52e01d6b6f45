"""The abstract state of a running program: variables, objects, gradients. Branches copy it, joins merge it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, filterfalse
from operator import is_not
from types import MappingProxyType

from gradsense.program.facts import Gradients, GradState, Mode, Need, Replacement, ScalerStage
from gradsense.program.values import (
    NOTHING,
    UNKNOWN,
    Choice,
    Collection,
    Instance,
    Items,
    Kind,
    Obj,
    Parameters,
    Site,
    Tensor,
    TupleValue,
    Value,
    join,
    options_of,
)

UNKNOWN_GRADIENTS = frozenset({GradState(Gradients.UNKNOWN)})
NO_GRADIENTS = frozenset({GradState(Gradients.NONE)})
AS_IT_WAS = frozenset({Mode("start")})
READY = frozenset({ScalerStage.READY})

ITEMS = "[items]"
"""The attribute under which a collection's content stands."""
OPEN = "[open]"
"""The attribute of an object that may have been changed by code that is not known."""
GIVEN = "[given]"
"""The attribute of an object that was made elsewhere, and may be of a class that is derived from the one it is of."""


class _Written:
    """The objects that were written since a heap was last copied; `before`: those before, back to its making."""

    __slots__ = ("before", "depth", "objects")

    def __init__(self, before: _Written | None) -> None:
        self.objects: set[Obj] = set()
        self.before = before
        self.depth: int = before.depth + 1 if before is not None else 0


class Heap(dict[Obj, dict[str, object]]):
    """Attributes by object; nothing is ever taken out. It keeps what was written since each copy: branches share all
    but a few of the hundreds of objects that a program has, and are compared and joined by those few alone.
    """

    __slots__ = ("_written",)

    def __init__(self, content: Mapping[Obj, dict[str, object]] = MappingProxyType({})) -> None:
        super().__init__(content)
        self._written = _Written(None)

    def __setitem__(self, obj: Obj, attributes: dict[str, object]) -> None:
        self._written.objects.add(obj)
        super().__setitem__(obj, attributes)

    def update(self, content: Mapping[Obj, dict[str, object]]) -> None:  # type: ignore[override]
        self._written.objects.update(content)
        super().update(content)

    def setdefault(self, obj: Obj, attributes: dict[str, object]) -> dict[str, object]:
        self._written.objects.add(obj)
        return super().setdefault(obj, attributes)

    def copy(self) -> Heap:
        before = self._written
        if before.objects or before.before is None:
            self._written = _Written(before)
        else:
            before = before.before
        made = Heap(self)
        made._written = _Written(before)
        return made

    def differing(self, other: Heap) -> Iterable[Obj]:
        """The objects under which `other` has nothing, something, or other attributes."""
        return [obj for obj in self._perhaps(other)[0] if self.get(obj) is not other.get(obj)]

    def _perhaps(self, other: Heap) -> tuple[Iterable[Obj], _Written | None]:
        """The objects that either has written since both were one, and what they had written by then."""
        objects: set[Obj] = set()
        mine, others = self._written, other._written
        while mine is not others:
            if mine.depth >= others.depth:
                objects |= mine.objects
                if mine.before is None:
                    return self.keys() | other.keys(), None
                mine = mine.before
            else:
                objects |= others.objects
                assert others.before is not None
                others = others.before
        return objects, mine

    def same_as(self, other: Heap) -> bool:
        """Equality."""
        return len(self) == len(other) and all(self.get(obj) == other.get(obj) for obj in self.differing(other))

    def joined(self, other: Heap) -> Heap:
        """What holds of both."""
        if other is self:
            # What is written to it from here on is not a past that it shares with the result.
            return self.copy()
        objects, before = self._perhaps(other)
        made = Heap(self)
        made._written = _Written(before)
        made._written.objects.update(objects)
        for obj in objects:
            mine, others = self.get(obj), other.get(obj)
            if mine is not others and others is not None:
                dict.__setitem__(made, obj, others if mine is None else _join_names(mine, others))
        return made


class State:
    """All inner dictionaries are copied when written, so that copying a state copies seven small ones.

    `frames`: variables by frame number. `heap`: attributes by object. `gradients`: the possible gradient states of
    each optimizer. `scaled`: optimizers whose gradients a scaler still has to unscale. `stages`: where each scaler
    may be with each optimizer (absent: ready). `grad`: whether gradients are recorded (None: can't tell) and the
    place that switched them. `assumed`: what conditions were taken to be. `toggled`: optimizers toggled and where.
    `modes`: the modes that Modules may be in, where something switched them. `replaced`: what each optimizer holds
    that was replaced since, on every path. `spent`: the calls of layers whose graph a backward pass has freed on
    every path, and which pass. `needs`: the weights that the backward pass through a layer's call needs, and
    whether a step has changed them. `used_up`: iterators over parameters that something went through on every path,
    and where. `exclusive`: pairs of optimizers, and of networks that one name stands for, of which only one is ever
    made (`Adam(...) if ... else SGD(...)`).
    """

    __slots__ = (
        "assumed",
        "dead",
        "exclusive",
        "frames",
        "grad",
        "gradients",
        "heap",
        "modes",
        "needs",
        "replaced",
        "scaled",
        "spent",
        "stages",
        "switch",
        "toggled",
        "used_up",
    )

    def __init__(self) -> None:
        self.frames: dict[int, dict[str, Value]] = {}
        self.heap = Heap()
        self.gradients: dict[Obj, frozenset[GradState]] = {}
        self.scaled: dict[Obj, Obj] = {}
        self.stages: dict[tuple[Obj, Obj], frozenset[ScalerStage]] = {}
        self.toggled: dict[Obj, Site] = {}
        self.replaced: dict[Obj, frozenset[Replacement]] = {}
        self.spent: dict[Obj, Site] = {}
        self.needs: dict[Obj, Need] = {}
        self.used_up: dict[tuple[Site, tuple[Site, ...]], Site] = {}
        self.exclusive: frozenset[frozenset[Obj]] = NOTHING
        self.modes: dict[Obj, frozenset[Mode]] = {}
        self.grad: bool | None = True
        self.switch: Site | None = None
        self.assumed: dict[tuple[object, ...], bool] = {}
        self.dead = False

    def copy(self) -> State:
        other = State.__new__(State)
        other.frames = self.frames.copy()
        other.heap = self.heap.copy()
        other.gradients = self.gradients.copy()
        other.scaled = self.scaled.copy()
        other.stages = self.stages.copy()
        other.toggled = self.toggled.copy()
        other.replaced = self.replaced.copy()
        other.spent = self.spent.copy()
        other.needs = self.needs.copy()
        other.used_up = self.used_up.copy()
        other.exclusive = self.exclusive
        other.modes = self.modes.copy() if self.modes else {}
        other.grad = self.grad
        other.switch = self.switch
        other.assumed = self.assumed.copy() if self.assumed else {}
        other.dead = self.dead
        return other

    def become(self, other: State) -> None:
        """Take the content of `other`, which must not be used any more."""
        for slot in State.__slots__:
            setattr(self, slot, getattr(other, slot))

    # -- variables and attributes --

    def variable(self, frame: int, name: str) -> Value | None:
        names = self.frames.get(frame)
        return names.get(name) if names is not None else None

    def set_variable(self, frame: int, name: str, value: Value) -> None:
        names = dict(self.frames.get(frame, ()))
        names[name] = value
        self.frames[frame] = names

    def attribute(self, obj: Obj, name: str) -> Value | None:
        attributes = self.heap.get(obj)
        return attributes.get(name) if attributes is not None else None  # type: ignore[return-value]

    def set_attribute(self, obj: Obj, name: str, value: object) -> None:
        attributes = self.heap.get(obj)
        if attributes is not None and attributes.get(name) is value and value is not None:
            return
        attributes = dict(attributes or ())
        attributes[name] = value
        self.heap[obj] = attributes

    def attributes(self, obj: Obj) -> dict[str, object]:
        return self.heap.get(obj, {})

    def items(self, obj: Obj) -> Items:
        found = self.heap.get(obj, {}).get(ITEMS)
        return found if isinstance(found, Items) else Items(None, UNKNOWN)

    def is_open(self, obj: Obj) -> bool:
        return OPEN in self.heap.get(obj, ())

    # -- joining --

    def key(self) -> frozenset[tuple[tuple[object, ...], bool]]:
        return frozenset(self.assumed.items())

    def same_as(self, other: State) -> bool:
        """Whether nothing would change by joining `other`, compared by content."""
        return (
            self.gradients == other.gradients
            and self.grad == other.grad
            and self.scaled == other.scaled
            and self.stages == other.stages
            and self.toggled == other.toggled
            and self.replaced == other.replaced
            and self.spent == other.spent
            and self.needs == other.needs
            and self.modes == other.modes
            and self.frames == other.frames
            and self.heap.same_as(other.heap)
        )

    def joined(self, other: State) -> State:
        """The least state that stands for both; `assumed` keeps what they agree on."""
        result = State.__new__(State)
        result.frames = _join_nested(self.frames, other.frames)
        result.heap = self.heap.joined(other.heap)
        result.gradients = _join_gradients(self.gradients, other.gradients)
        result.scaled = {k: v for k, v in self.scaled.items() if other.scaled.get(k) == v}
        result.stages = _join_stages(self.stages, other.stages)
        result.toggled = {**other.toggled, **self.toggled}
        result.replaced = _common(self.replaced, other.replaced)
        result.needs = _join_needs(self.needs, other.needs)
        result.spent = {k: v for k, v in self.spent.items() if k in other.spent}
        result.used_up = {k: v for k, v in self.used_up.items() if k in other.used_up}
        apart = _exclusive(self.gradients, other.gradients) | _networks_made_apart(self, other)
        result.exclusive = self.exclusive | other.exclusive | apart
        result.modes = _join_modes(self.modes, other.modes)
        result.grad = self.grad if self.grad == other.grad else None
        result.switch = self.switch or other.switch
        result.assumed = {k: v for k, v in self.assumed.items() if other.assumed.get(k) is v}
        result.dead = self.dead and other.dead
        return result

    def are_alternatives(self, objects: tuple[Obj, ...]) -> bool:
        """Whether only one of these optimizers or networks exists when the program runs."""
        # What one call makes, of whichever class, is one object.
        return all(
            one == other or frozenset((one, other)) in self.exclusive
            for number, one in enumerate(objects)
            for other in objects[number + 1 :]
        )

    # -- what is below an object --

    def reachable(self, values: tuple[Value, ...], limit: int = 400) -> set[Obj]:
        """Every object that can be got at from `values` by attributes and items."""
        seen: set[Obj] = set()
        stack: list[object] = list(values)
        while stack and len(seen) < limit:
            value = stack.pop()
            for option in options_of(value):  # type: ignore[arg-type]
                if isinstance(option, (Instance, Collection)):
                    if option.obj in seen:
                        continue
                    seen.add(option.obj)
                    for inner in self.heap.get(option.obj, {}).values():
                        if isinstance(inner, Items):
                            stack.extend(inner.exact if inner.exact is not None else (inner.element,))
                        elif inner is not None and not isinstance(inner, bool):
                            stack.append(inner)
                elif isinstance(option, TupleValue):
                    stack.extend(option.items)
                elif isinstance(option, (Tensor, Parameters)):
                    seen.update(option.sources)
                else:
                    receiver = getattr(option, "receiver", None) or getattr(option, "self_value", None)
                    if receiver is not None:
                        stack.append(receiver)
        return seen


def _common(
    left: dict[Obj, frozenset[Replacement]], right: dict[Obj, frozenset[Replacement]]
) -> dict[Obj, frozenset[Replacement]]:
    if not left or not right:
        return {}
    return {obj: found & right[obj] for obj, found in left.items() if found & right.get(obj, NOTHING)}


def _join_needs(left: dict[Obj, Need], right: dict[Obj, Need]) -> dict[Obj, Need]:
    if left == right:
        return left.copy()
    return {
        node: Need(
            need.weights & other.weights,
            need.stepped if other.stepped is not None else None,
            need.changed & other.changed,
        )
        for node, need in left.items()
        if (other := right.get(node)) is not None
    }


def _join_stages(
    left: dict[tuple[Obj, Obj], frozenset[ScalerStage]], right: dict[tuple[Obj, Obj], frozenset[ScalerStage]]
) -> dict[tuple[Obj, Obj], frozenset[ScalerStage]]:
    if left == right:
        return left.copy()
    return {key: left.get(key, READY) | right.get(key, READY) for key in left.keys() | right.keys()}


def _join_nested(left: dict, right: dict) -> dict:  # type: ignore[type-arg]
    result = left.copy()
    for key in _differing(left, right):
        if key in right:
            result[key] = _join_names(left[key], right[key])
    for key in filterfalse(left.__contains__, right):
        result[key] = right[key]
    return result


def _differing(left: dict, right: dict) -> list:  # type: ignore[type-arg]
    """The keys of `left` under which `right` has nothing, or another object. Branches share nearly all they hold."""
    return list(compress(left, map(is_not, map(right.get, left), left.values())))


def _join_names(left: dict, right: dict) -> dict:  # type: ignore[type-arg]
    result = left.copy()
    for name in _differing(left, right):
        if name not in right:
            continue
        a, b = left[name], right[name]
        if isinstance(a, Items) and isinstance(b, Items):
            result[name] = join_items(a, b)
        elif isinstance(a, (Items, bool)) or isinstance(b, (Items, bool)):
            result[name] = a
        elif hasattr(a, "groups") or hasattr(b, "groups"):
            result[name] = a if a == b else None
        else:
            result[name] = join(a, b)
    for name in filterfalse(left.__contains__, right):
        result[name] = right[name]
    return result


def join_items(left: Items, right: Items) -> Items:
    """The content of a collection that may hold either."""
    if left == right:
        return left
    if left.exact is not None and right.exact is not None and len(left.exact) == len(right.exact):
        exact = tuple(join(a, b) for a, b in zip(left.exact, right.exact, strict=True))
        return Items(exact, join(left.element, right.element), left.keys if left.keys == right.keys else None)
    if left.exact == ():
        return Items(None, right.element)
    if right.exact == ():
        return Items(None, left.element)
    return Items(None, join(left.element, right.element))


def _join_gradients(
    left: dict[Obj, frozenset[GradState]], right: dict[Obj, frozenset[GradState]]
) -> dict[Obj, frozenset[GradState]]:
    if left == right:
        return left.copy()
    result = dict(left)
    for obj, states in right.items():
        mine = left.get(obj)
        result[obj] = states if mine is None else mine | states
    return result


def _join_modes(left: dict[Obj, frozenset[Mode]], right: dict[Obj, frozenset[Mode]]) -> dict[Obj, frozenset[Mode]]:
    if left == right:
        return left
    return {obj: left.get(obj, AS_IT_WAS) | right.get(obj, AS_IT_WAS) for obj in left.keys() | right.keys()}


UNUSED = frozenset({Gradients.FRESH, Gradients.PILED, Gradients.REUSED})
"""Something is in the gradients that no step has used."""


def _exclusive(left: dict[Obj, frozenset[GradState]], right: dict[Obj, frozenset[GradState]]) -> set[frozenset[Obj]]:
    """Pairs of optimizers that two branches made, each its own."""
    if left.keys() == right.keys():
        return set()
    return {frozenset((one, other)) for one in left.keys() - right.keys() for other in right.keys() - left.keys()}


def _networks_made_apart(left: State, right: State) -> set[frozenset[Obj]]:
    """Pairs of networks that two branches made, each its own, and gave the same name."""
    changed = list(left.heap.differing(right.heap))
    here = {obj for obj in changed if obj not in right.heap}
    there = {obj for obj in changed if obj not in left.heap}
    if not here or not there:
        return set()
    kept: list[tuple[Mapping[str, object], Mapping[str, object]]] = [
        (names, right.frames[number])
        for number, names in left.frames.items()
        if number in right.frames and names is not right.frames[number]
    ]
    kept += [(left.heap[obj], right.heap[obj]) for obj in changed if obj in left.heap and obj in right.heap]
    return {
        frozenset((one, other))
        for mine, others in kept
        for name, value in mine.items()
        if value is not (beside := others.get(name))
        for one in _networks(value) & here
        for other in _networks(beside) & there
    }


def given_apart(ways: Sequence[tuple[State, Value]]) -> frozenset[frozenset[Obj]]:
    """Pairs of networks of which a function, or an expression, makes and gives one on each of several ways."""
    if len(ways) < 2:
        return NOTHING
    given = [(state.heap, _networks(value)) for state, value in ways]
    return frozenset(
        frozenset((one, other))
        for number, (heap, mine) in enumerate(given)
        for beside, others in given[number + 1 :]
        for one in mine
        for other in others
        if one not in beside and other not in heap
    )


def _networks(value: object) -> set[Obj]:
    options = value.options if isinstance(value, Choice) else (value,)
    return {each.obj for each in options if isinstance(each, Instance) and each.kind in (Kind.MODULE, Kind.LIGHTNING)}


def after_backward(states: frozenset[GradState], site: Site, certain: bool) -> frozenset[GradState]:
    """The gradients after a backward pass that reaches them (`certain`), or may."""
    if not certain and states >= _TOO_MANY:
        return _TOO_MANY | {GradState(Gradients.PILED, site)}
    reached = set()
    for state in states:
        if state.kind in (Gradients.FRESH, Gradients.PILED):
            reached.add(GradState(Gradients.PILED, site, earlier=_before(state, site)))
        elif state.kind is Gradients.REUSED:
            reached.add(GradState(Gradients.REUSED, site, earlier=_before(state, site)))
        elif state.kind is Gradients.USED:
            reached.add(GradState(Gradients.REUSED, site))
        else:
            reached.add(GradState(Gradients.FRESH, site))
    found = frozenset(reached) if certain else frozenset(reached) | states
    if len(found) > _MOST_STATES:
        found = frozenset(state._replace(earlier=NOTHING) for state in found)
    return found if len(found) <= _MOST_STATES else _TOO_MANY | {GradState(Gradients.PILED, site)}


def _before(state: GradState, site: Site) -> frozenset[Site]:
    """The passes whose gradients are there when the one at `site` adds its own; beyond a few only the last of them."""
    last = NOTHING if state.backward in (None, site) else frozenset((state.backward,))
    return (state.earlier | last if len(state.earlier) < _MOST_PASSES else last) - {site}


_MOST_PASSES = 4
_MOST_STATES = 32
"""Of more possible states none is told by what came before its last pass: forty passes in a row that may each reach a
gradient give 91,000 choices of four.
"""
_TOO_MANY = frozenset({GradState(Gradients.UNKNOWN, by="too many passes to tell")})
"""What is known if as many may be the last pass, besides that the very last one may have been."""


def after_clear(states: frozenset[GradState], site: Site, by: str) -> frozenset[GradState]:
    """The gradients after they were cleared: what a backward pass had computed and no step used is lost."""
    cleared = set()
    for state in states:
        if state.kind in UNUSED and state.backward is not None:
            cleared.add(GradState(Gradients.LOST, state.backward, site, by))
        elif state.kind is Gradients.LOST:
            cleared.add(state)
        else:
            cleared.add(GradState(Gradients.CLEARED, None, site, by))
    return frozenset(cleared)


def after_step(states: frozenset[GradState], site: Site) -> frozenset[GradState]:
    """The gradients after a step: still there, but used."""
    return frozenset(
        state
        if state.kind in (Gradients.NONE, Gradients.CLEARED, Gradients.UNKNOWN)
        else GradState(Gradients.CLEARED, None, state.clear, state.by)
        if state.kind is Gradients.LOST
        else GradState(Gradients.USED, state.backward)
        for state in states
    )
