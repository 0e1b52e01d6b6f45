"""Methods of lists, dictionaries, tuples and sets."""

from __future__ import annotations

from dataclasses import replace

from gradsense.program import (
    containers,
    expressions,
    objects,
)
from gradsense.program.invocation import Invocation
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, State
from gradsense.program.values import (
    NONE,
    UNKNOWN,
    Collection,
    Const,
    Items,
    Partial,
    Ref,
    Tensor,
    TupleValue,
    Value,
    join,
)


def call_on_collection(call: Invocation, collection: Collection | TupleValue, name: str) -> Value:
    run, frame, state, args, keywords, at = call
    for arg in args:
        expressions.use(run, arg)
    if isinstance(collection, TupleValue):
        return UNKNOWN
    if name == "append" and args:
        if isinstance(args[0], (Tensor, TupleValue, Collection)):
            call.record("list.append", collection, NONE)
        in_own_loop = any(r.site.where == frame.where for r in frame.rounds) or bool(frame.rounds)
        containers.append(state, collection, args[0], not in_own_loop and frame.conditions == 0)
    elif name == "add" and args:
        containers.append(state, collection, args[0], False)
    elif name == "insert" and len(args) > 1:
        containers.append(state, collection, args[1], False)
    elif name == "extend" and args:
        containers.extend(run, state, collection, args[0])
    elif name in ("items", "values", "keys"):
        if collection.kind == "dict":
            return _view(run, frame, state, collection, name, at)
    elif name == "update":
        for arg in args:
            items = state.items(collection.obj)
            added = (
                containers.element_of(run, frame, state, arg)
                if not isinstance(arg, Collection)
                else state.items(arg.obj).element
            )
            state.set_attribute(collection.obj, ITEMS, Items(None, join(items.element, added)))
        for key, value in keywords:
            containers.store_item(run, frame, state, collection, Const(key), value, at)
    elif name in ("pop", "popleft", "get", "setdefault"):
        items = state.items(collection.obj)
        if name == "get" and args:
            return containers.get_item(run, frame, state, collection, args[0], at)
        return items.element if items.exact is None else objects.join_values(items.exact)
    elif name == "clear":
        state.set_attribute(collection.obj, ITEMS, Items((), UNKNOWN, () if collection.kind == "dict" else None))
    elif name == "copy":
        obj = objects.allocate(frame, at)
        state.heap[obj] = dict(state.attributes(collection.obj))
        return replace(collection, obj=obj)
    return UNKNOWN


def _view(run: Run, frame: Frame, state: State, collection: Collection, name: str, at: int) -> Value:
    items = state.items(collection.obj)
    if items.exact is not None and items.keys is not None:
        keys = [Const(key) for key in items.keys]
        if name == "items":
            pairs: list[Value] = [TupleValue((key, value)) for key, value in zip(keys, items.exact, strict=False)]
            return containers.make_collection(run, frame, state, "list", pairs, True, at)
        values: list[Value] = list(items.exact) if name == "values" else list(keys)
        return containers.make_collection(run, frame, state, "list", values, True, at)
    return Partial(Ref(f"builtins.{name}"), (collection,), ())
