"""Lists, tuples, dicts, sets, and Modules that hold items: what is in them, put into them, taken out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradsense.program import activations, calls, composition, expressions, in_place, marking, objects, shapes, training
from gradsense.program.facts import Store
from gradsense.program.knowledge import classes, functions
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, OPEN, State
from gradsense.program.values import (
    NOTHING,
    PLAIN,
    UNKNOWN,
    Choice,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Items,
    Kind,
    Parameters,
    Partial,
    Parts,
    Ref,
    Tensor,
    TupleValue,
    Value,
    is_plain,
    join,
    options_of,
)


def make_collection(
    run: Run, frame: Frame, state: State, kind: str, values: list[Value], exact: bool, at: int, part: str = ""
) -> Value:
    obj = objects.allocate(frame, at, part)
    known = exact and len(values) <= 64
    state.heap[obj] = {ITEMS: Items(tuple(values) if known else None, objects.join_values(values))}
    return Collection(obj, kind)


def exact_items(run: Run, state: State, value: Value) -> tuple[Value, ...] | None:
    """Every item of a tuple, list or container of modules, in order; None where they aren't all known."""
    if isinstance(value, TupleValue):
        return value.items
    if isinstance(value, Collection):
        items = state.items(value.obj)
        if value.kind == "dict":
            return None
        return items.exact
    if isinstance(value, Instance) and isinstance(value.type, Ref) and classes.is_container(value.type.name):
        items = state.items(value.obj)
        return items.exact if value.type.name != "torch.nn.ModuleDict" else None
    return None


def worth_unrolling(elements: tuple[Value, ...]) -> bool:
    """A loop over objects of the program (optimizers, networks) is followed item by item."""
    return any(
        isinstance(option, (Instance, TupleValue, Parameters)) for element in elements for option in options_of(element)
    )


def element_of(run: Run, frame: Frame, state: State, value: Value) -> Value:
    """What a loop over `value` gives each time."""
    if isinstance(value, TupleValue):
        return _one_of(value.items)
    if isinstance(value, Collection):
        items = state.items(value.obj)
        if value.kind == "dict":
            return objects.join_values([Const(key) for key in items.keys]) if items.keys else UNKNOWN
        return items.element if items.exact is None else _one_of(items.exact)
    if isinstance(value, Instance):
        if value.kind is Kind.DATA:
            return shapes.batch_of(state, value)
        if isinstance(value.type, Ref) and classes.is_container(value.type.name):
            items = state.items(value.obj)
            return items.element if items.exact is None else objects.join_values(items.exact)
        return UNKNOWN
    if isinstance(value, Parameters):
        if value.shape == "pairs":
            return TupleValue((Ref("builtins.text"), value._replace(shape="element")))
        return value._replace(shape="element") if value.shape in ("iterator", "list") else UNKNOWN
    if isinstance(value, Parts):
        part = replace(value, shape="element")
        return TupleValue((Ref("builtins.text"), part)) if value.shape == "pairs" else part
    if isinstance(value, Tensor):
        return shapes.element(activations.picked(value._replace(parameter=None, leaf=None, made_by="", needed=False)))
    if isinstance(value, Partial) and isinstance(value.function, Ref):
        return _element_of_view(run, frame, state, value)
    return PLAIN if value == PLAIN else UNKNOWN


def _one_of(values: Sequence[Value]) -> Value:
    """Each of some values in turn; of several parameters, a parameter, as of `parameters()`."""
    parameters = [value.parameter for value in values if isinstance(value, Tensor) and value.parameter is not None]
    if len(parameters) > 1 and len(parameters) == len(values):
        return Parameters(frozenset(parameters), shape="element")
    return objects.join_values(values)


def _element_of_view(run: Run, frame: Frame, state: State, view: Partial) -> Value:
    assert isinstance(view.function, Ref)
    kind = view.function.name
    if not view.args:
        return UNKNOWN  # `enumerate()` raises; what is given by name only isn't looked at
    if kind == "builtins.enumerate":
        return TupleValue((PLAIN, element_of(run, frame, state, view.args[0])))
    if kind == "builtins.range":
        return PLAIN
    if kind == "builtins.zip":
        return TupleValue(tuple(element_of(run, frame, state, arg) for arg in view.args))
    if kind == "builtins.items" and isinstance(view.args[0], Collection):
        items = state.items(view.args[0].obj)
        return TupleValue((UNKNOWN, items.element))
    if kind == "builtins.values" and isinstance(view.args[0], Collection):
        return state.items(view.args[0].obj).element
    return UNKNOWN


def iterated_kind(state: State, value: Value) -> str:
    """What a `for` loop goes over, for `Round.over`. A list of batches, however it was made, is data."""
    if isinstance(value, Parameters):
        return "parameters"
    if isinstance(value, Partial) and isinstance(value.function, Ref):
        if value.function.name == "builtins.range":
            return "range"
        inner = [iterated_kind(state, arg) for arg in value.args]
        return next((kind for kind in ("parameters", "data") if kind in inner), "other")
    if isinstance(value, Instance) and value.kind is Kind.DATA:
        return "data"
    if isinstance(value, Collection) and value.kind == "list":
        items = state.items(value.obj)
        if items.exact is None and (items.element is UNKNOWN or is_plain(items.element)):
            return "data" if is_plain(items.element) else "other"
    if isinstance(value, (Collection, TupleValue)):
        return "literal"
    if isinstance(value, Tensor) and value.gradients:
        return "parameters"
    return "other"


def values_of(pair: Tensor) -> Tensor:
    """The values of what gives values and indices."""
    return pair._replace(parameter=None, leaf=None, made_by="", needed=False)


def unpacked(run: Run, frame: Frame, state: State, value: Value, count: int, at: int) -> tuple[Value, ...] | None:
    """The `count` values that unpacking gives, or None."""
    items = exact_items(run, state, value)
    if items is not None:
        return items if len(items) == count else None
    if isinstance(value, Collection) and value.kind != "dict":
        return (state.items(value.obj).element,) * count
    if isinstance(value, Tensor) and count == 2 and functions.gives_indices(value.made_by):
        return values_of(value), expressions.cut(run, frame, value, "indices", at)
    if isinstance(value, Tensor):
        part = shapes.element(activations.picked(value._replace(parameter=None, leaf=None, made_by="", needed=False)))
        return (part,) * count
    if value == PLAIN:
        return (PLAIN,) * count
    if isinstance(value, Choice):
        each = [unpacked(run, frame, state, option, count, at) for option in value.options]
        if any(parts is None for parts in each):
            return None
        return tuple(objects.join_values([parts[i] for parts in each if parts is not None]) for i in range(count))
    return None


def get_item(run: Run, frame: Frame, state: State, receiver: Value, index: Value, at: int) -> Value:
    """`receiver[index]`."""
    if receiver == PLAIN:
        return PLAIN
    if isinstance(receiver, Choice):
        return objects.join_values([get_item(run, frame, state, option, index, at) for option in receiver.options])
    key = index.value if isinstance(index, Const) else None
    if isinstance(receiver, (TupleValue, Collection)) or (
        isinstance(receiver, Instance) and isinstance(receiver.type, Ref) and classes.is_container(receiver.type.name)
    ):
        if isinstance(receiver, Collection) and receiver.kind == "dict":
            items = state.items(receiver.obj)
            if items.keys is not None and items.exact is not None and key in items.keys and isinstance(index, Const):
                return items.exact[items.keys.index(key)]
            return _picked(items.element)
        exact = exact_items(run, state, receiver)
        if exact is not None and isinstance(key, int) and -len(exact) <= key < len(exact):
            return exact[key]
        if isinstance(key, slice):
            if isinstance(receiver, Instance):
                return _sliced(frame, state, receiver, at)
            element = _picked(element_of(run, frame, state, receiver))
            return make_collection(run, frame, state, "list", [element], False, at)
        return _picked(element_of(run, frame, state, receiver))
    if isinstance(receiver, Tensor) and functions.gives_indices(receiver.made_by) and key in (0, 1):
        return expressions.cut(run, frame, receiver, "indices", at) if key == 1 else values_of(receiver)
    if isinstance(receiver, Tensor):
        picked = shapes.item(activations.indexed(receiver._replace(parameter=None, leaf=None, needed=False)), index)
        return marking.chosen(frame, receiver, index, picked, at)
    if isinstance(receiver, Parameters):
        if receiver.shape == "list":
            return receiver._replace(shape="element" if isinstance(key, int) else "list", partial=True)
        return receiver
    if isinstance(receiver, Instance):
        method = objects.get_attribute(run, frame, state, receiver, "__getitem__", at)
        if isinstance(method, FunctionValue):
            return calls.invoke(run, frame, state, method, (index,), (), at)
    return UNKNOWN


def _sliced(frame: Frame, state: State, receiver: Instance, at: int) -> Instance:
    """`sequential[:n]`: a container of its own, with some of the layers; which of them isn't told."""
    obj = objects.allocate(frame, at)
    state.heap[obj] = {ITEMS: state.items(receiver.obj), objects.SLICED: True}
    return replace(receiver, obj=obj)


def _picked(value: Value) -> Value:
    """An item taken out by an index that is not known: whoever collects such items need not get all of them."""
    if isinstance(value, Parameters) and value.shape == "element":
        return value._replace(partial=True, whole=NOTHING)
    return value


def store_item(run: Run, frame: Frame, state: State, receiver: Value, index: Value, value: Value, at: int) -> None:
    """`receiver[index] = value`."""
    expressions.use(run, value)
    for option in options_of(receiver):
        if isinstance(option, Collection):
            items = state.items(option.obj)
            key = index.value if isinstance(index, Const) else None
            if option.obj.part in ("group", "defaults", "copied group") and isinstance(key, str):
                run.record(Store(frame.site(at), run.context(frame), option, key, value, None), frame)
            if (
                isinstance(index, Const)
                and option.kind == "dict"
                and items.exact is not None
                and items.keys is not None
            ):
                if key in items.keys:
                    at_key = items.keys.index(key)
                    exact = (*items.exact[:at_key], value, *items.exact[at_key + 1 :])
                    state.set_attribute(option.obj, ITEMS, Items(exact, objects.join_values(exact), items.keys))
                else:
                    exact = (*items.exact, value)
                    state.set_attribute(option.obj, ITEMS, Items(exact, objects.join_values(exact), (*items.keys, key)))
                continue
            if isinstance(key, int) and items.exact is not None and 0 <= key < len(items.exact):
                exact = (*items.exact[:key], value, *items.exact[key + 1 :])
                state.set_attribute(option.obj, ITEMS, Items(exact, objects.join_values(exact), items.keys))
                continue
            element = value if items.exact == () else join(items.element, value)
            state.set_attribute(option.obj, ITEMS, Items(None, element))
        elif isinstance(option, Tensor) and option is receiver:
            in_place.change(run, frame, state, option, (value,), "[]=", at)
        elif isinstance(option, Instance):
            if isinstance(option.type, Ref) and classes.is_container(option.type.name):
                items = state.items(option.obj)
                key = index.value if isinstance(index, Const) else None
                run.record(Store(frame.site(at), run.context(frame), option, "[item]", value, items.element), frame)
                if isinstance(key, int) and items.exact is not None and -len(items.exact) <= key < len(items.exact):
                    training.module_replaced(run, frame, state, items.exact[key], value, at)
                if isinstance(key, int) and items.exact is not None and -len(items.exact) <= key < len(items.exact):
                    key %= len(items.exact)
                    exact = (*items.exact[:key], value, *items.exact[key + 1 :])
                    state.set_attribute(option.obj, ITEMS, Items(exact, objects.join_values(exact), items.keys))
                else:
                    element = value if items.exact == () else join(items.element, value)
                    state.set_attribute(option.obj, ITEMS, Items(None, element))
            else:
                state.set_attribute(option.obj, OPEN, True)


def extend(run: Run, state: State, collection: Collection, added: Value) -> None:
    """`collection += added`, `collection.extend(added)`."""
    items = state.items(collection.obj)
    more = exact_items(run, state, added)
    if isinstance(added, Parameters):
        element: Value = added._replace(shape="element")
        state.set_attribute(
            collection.obj, ITEMS, Items(None, element if items.exact == () else join(items.element, element))
        )
        return
    if items.exact is not None and more is not None and len(items.exact) + len(more) <= 64:
        exact = items.exact + more
        state.set_attribute(collection.obj, ITEMS, Items(exact, objects.join_values(exact) if exact else UNKNOWN))
        return
    addition: Value = UNKNOWN
    if isinstance(added, Collection):
        addition = state.items(added.obj).element
    elif more is not None:
        addition = objects.join_values(more)
    element = addition if items.exact == () else join(items.element, addition)
    state.set_attribute(collection.obj, ITEMS, Items(None, element))


def append(state: State, collection: Collection, value: Value, certain_count: bool) -> None:
    """`collection.append(value)`; inside a loop the number of items isn't known any more."""
    items = state.items(collection.obj)
    if items.exact is not None and certain_count and len(items.exact) < 64:
        exact = (*items.exact, value)
        state.set_attribute(collection.obj, ITEMS, Items(exact, objects.join_values(exact)))
        return
    element = value if items.exact == () else join(items.element, value)
    state.set_attribute(collection.obj, ITEMS, Items(None, element))


def delete_item(state: State, collection: Collection, index: Value, certain: bool) -> None:
    """`del collection[index]`; all of it is gone by `del collection[:]`, on that way on which it is `certain`."""
    items = state.items(collection.obj)
    key = index.value if isinstance(index, Const) else None
    left = Items(None, items.element if items.exact is None else objects.join_values(items.exact))
    if key == expressions.WHOLE:
        left = Items((), UNKNOWN) if certain else left
    elif items.exact is not None and isinstance(key, (int, str)):
        at = key if items.keys is None else items.keys.index(key) if key in items.keys else None
        if isinstance(at, int) and -len(items.exact) <= at < len(items.exact):
            at %= len(items.exact)
            exact = (*items.exact[:at], *items.exact[at + 1 :])
            keys = (*items.keys[:at], *items.keys[at + 1 :]) if items.keys is not None else None
            left = Items(exact, objects.join_values(exact), keys)
    state.set_attribute(collection.obj, ITEMS, left)


def concatenated(run: Run, frame: Frame, state: State, left: Value, right: Value, at: int) -> Value | None:
    """`left + right` of lists, tuples or lists of parameters; None if they are something else."""
    if isinstance(left, TupleValue) and isinstance(right, TupleValue):
        return TupleValue(left.items + right.items)
    if isinstance(left, Parameters) and isinstance(right, Parameters) and left.shape == right.shape == "list":
        return composition.merged_parameters([left, right], "list", frame.site(at))
    if isinstance(left, Collection) and isinstance(right, (Collection, Parameters)):
        made = make_collection(run, frame, state, "list", [], True, at)
        assert isinstance(made, Collection)
        extend(run, state, made, left)
        extend(run, state, made, right)
        return made
    if isinstance(left, Parameters) and isinstance(right, Collection) and left.shape == "list":
        return composition.merged_parameters([left], "list", frame.site(at), is_open=True)
    return None


def repeated(run: Run, frame: Frame, state: State, left: Value, right: Value, at: int) -> Value | None:
    """`[item] * n`: the same objects several times."""
    if isinstance(left, Collection) and left.kind == "list":
        items = state.items(left.obj)
        obj = objects.allocate(frame, at)
        state.heap[obj] = {
            ITEMS: Items(None, items.element if items.exact is None else objects.join_values(items.exact))
        }
        return Collection(obj, "list")
    return None
