"""Calls of Python's own functions, as far as networks, tensors and what holds them go through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gradsense.program import (
    activations,
    calls,
    class_lookup,
    containers,
    expressions,
    external,
    ir,
    iterators,
    marking,
    objects,
    training,
)
from gradsense.program.invocation import Invocation
from gradsense.program.state import ITEMS
from gradsense.program.values import (
    NONE,
    NOTHING,
    PLAIN,
    UNKNOWN,
    ClassValue,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Items,
    Kind,
    LambdaValue,
    Parameters,
    Partial,
    Ref,
    Tensor,
    TupleValue,
    Value,
    combine,
    is_plain,
    options_of,
)


def call_builtin(call: Invocation, name: str) -> Value:
    """Call a function of Python's own, by its name without `builtins.`."""
    if name not in ("len", "isinstance", "type"):
        activations.read(call.run, call.args)
    if name.startswith("str."):
        # A text, or parts of one: no parameter stands behind it, and what it is formatted with stays as it is.
        return PLAIN
    handler = _FUNCTIONS.get(name)
    result = handler(call, name) if handler is not None else None
    if result is not None:
        return result
    return PLAIN if call.args and all(map(is_plain, call.args)) else UNKNOWN


def _listed(call: Invocation, name: str) -> Value:
    """A list, a tuple, a set, an iterator of something."""
    run, frame, state, at = call.run, call.frame, call.state, call.at
    if not call.args:
        if name == "tuple":
            return TupleValue(())
        return containers.make_collection(run, frame, state, "list", [], True, at)
    first = call.args[0]
    if isinstance(first, Parameters):
        if name != "iter":
            iterators.gone_through(run, frame, state, first, name, at)
        if name == "iter" or first.shape not in ("iterator", "pairs"):
            return first
        # A list of pairs is no iterator any more: without a site it can't be told to be gone through.
        return first._replace(site=None) if first.shape == "pairs" else first._replace(shape="list")
    exact = containers.exact_items(run, state, first)
    if exact is not None:
        values = list(reversed(exact)) if name == "reversed" else list(exact)
        if name == "tuple":
            return TupleValue(tuple(values))
        return containers.make_collection(run, frame, state, "list", values, True, at)
    if name == "iter" and isinstance(first, Instance) and first.kind is Kind.DATA:
        return first
    if isinstance(first, (Collection, Instance)):
        if isinstance(first, Instance) and not isinstance(first.type, Ref):
            return UNKNOWN
        element = containers.element_of(run, frame, state, first)
        return containers.make_collection(run, frame, state, "list", [element], False, at)
    if isinstance(first, Tensor) or first == PLAIN:
        return first
    return UNKNOWN


def _filter(call: Invocation, name: str) -> Value | None:
    if len(call.args) != 2:
        return None
    predicate, kept = call.args
    if not isinstance(kept, Parameters):
        return None
    iterators.gone_through(call.run, call.frame, call.state, kept, name, call.at)
    kept = kept._replace(shape="iterator", site=call.site)
    kept = kept if _keeps_all(predicate) else kept._replace(partial=True, whole=NOTHING)
    return iterators.made(call.frame, call.state, kept)


def _keeps_all(predicate: Value) -> bool:
    """`lambda p: p.requires_grad`: a filter that leaves out nothing that could be trained."""
    body = predicate.node.body if isinstance(predicate, LambdaValue) and isinstance(predicate.node, ir.Lambda) else None
    return expressions.keeps_all(body)


def _decorated(call: Invocation, name: str) -> Value | None:
    """`property(f)`, as a decorator would: the way it is written where one is chosen, or in old code."""
    first = call.args[0] if len(call.args) == 1 else UNKNOWN
    if not isinstance(first, FunctionValue):
        return None
    return replace(first, decorators=(*first.decorators, f"builtins.{name}"))


def _named(call: Invocation, name: str) -> Value:
    return external.named(call.run, call.state, call.args[0], call.args[1:], call.keywords)


def _later(call: Invocation, name: str) -> Value:
    """What gives one item after the other where it is gone through."""
    return Partial(Ref(f"builtins.{name}"), call.args, ())


def _enumerate(call: Invocation, name: str) -> Value:
    exact = containers.exact_items(call.run, call.state, call.args[0]) if call.args else None
    if exact is not None and containers.worth_unrolling(exact):
        return TupleValue(tuple(TupleValue((Const(i), item)) for i, item in enumerate(exact)))
    return _later(call, name)


def _zip(call: Invocation, name: str) -> Value:
    columns = [containers.exact_items(call.run, call.state, arg) for arg in call.args]
    known = [column for column in columns if column is not None]
    if len(known) == len(columns) and any(map(containers.worth_unrolling, known)):
        return TupleValue(tuple(TupleValue(row) for row in zip(*known, strict=False)))
    return _later(call, name)


def _dict(call: Invocation, name: str) -> Value:
    obj = objects.allocate(call.frame, call.at)
    keys = tuple(key for key, _ in call.keywords)
    values = tuple(value for _, value in call.keywords)
    known = not call.args and "**" not in keys
    call.state.heap[obj] = {
        ITEMS: Items(values if known else None, objects.join_values(values), keys if known else None)
    }
    return Collection(obj, "dict")


def _number(call: Invocation, name: str) -> Value:
    first = call.args[0] if call.args else UNKNOWN
    if not isinstance(first, Tensor):
        return UNKNOWN
    result = expressions.cut(call.run, call.frame, first, name, call.at, python=True)
    return call.record(f"builtins.{name}", None, result)


def _computed(call: Invocation, name: str) -> Value:
    """`sum`, `max`, ...: of tensors one that depends on all of them."""
    first = call.args[0] if call.args else UNKNOWN
    if isinstance(first, Parameters):
        iterators.gone_through(call.run, call.frame, call.state, first, name, call.at)
        return Tensor(first.sources, requires=True, open=first.open)
    inner = external.tensors_in(call.run, call.state, call.args)
    if not any(isinstance(value, Tensor) for value in inner):
        return UNKNOWN
    result: Value = combine(inner, f"builtins.{name}")
    if name in marking.MEASURES:
        result = marking.measured(result)
    return call.record(f"builtins.{name}", None, result)


def _next(call: Invocation, name: str) -> Value:
    first = call.args[0] if call.args else UNKNOWN
    if isinstance(first, Parameters):
        return first._replace(shape="element", partial=True)
    return containers.element_of(call.run, call.frame, call.state, first)


def _getattr(call: Invocation, name: str) -> Value | None:
    if len(call.args) < 2:
        return None
    receiver, key, *_ = call.args
    if isinstance(key, Const) and isinstance(key.value, str):
        return objects.get_attribute(call.run, call.frame, call.state, receiver, key.value, call.at)
    return UNKNOWN


def _setattr(call: Invocation, name: str) -> Value | None:
    return set_attribute(call, *call.args) if len(call.args) == 3 else None


def set_attribute(call: Invocation, receiver: Value, key: Value, value: Value) -> Value:
    """`setattr(receiver, key, value)`."""
    state = call.state
    if isinstance(key, Const) and isinstance(key.value, str):
        objects.store_attribute(call.run, call.frame, state, receiver, key.value, value, call.at)
        return NONE
    for option in options_of(receiver):
        if isinstance(option, Instance):
            # A computed name: the value is an attribute of the object, whichever.
            old = state.attribute(option.obj, "[added]")
            state.set_attribute(option.obj, "[added]", objects.join_values([v for v in (old, value) if v is not None]))
    return NONE


def _map(call: Invocation, name: str) -> Value | None:
    if len(call.args) != 2:
        return None
    run, frame, state, at = call.run, call.frame, call.state, call.at
    element = containers.element_of(run, frame, state, call.args[1])
    mapped = calls.invoke(run, frame, state, call.args[0], (element,), (), at)
    return containers.make_collection(run, frame, state, "list", [mapped], False, at)


def _exit(call: Invocation, name: str) -> None:
    call.state.dead = True


def _object(call: Invocation, name: str) -> Value:
    return UNKNOWN


def _reflection(call: Invocation, name: str) -> None:
    """`exec(...)`, `vars()`: whatever the program has may be changed through it."""
    training.forget_all_gradients(call.state)


def _str(call: Invocation, name: str) -> Value:
    return Ref("builtins.text")


def _len(call: Invocation, name: str) -> Value:
    first = call.args[0] if call.args else UNKNOWN
    layers = containers.exact_items(call.run, call.state, first) if isinstance(first, Instance) else None
    return PLAIN if layers is None else Const(len(layers))


def _isinstance(call: Invocation, name: str) -> Value | None:
    if len(call.args) != 2:
        return None
    value, cls = call.args
    if isinstance(value, Instance) and isinstance(cls, (ClassValue, Ref)):
        order, known = class_lookup.mro(call.run, value.type)
        if cls in order:
            return Const(True)
        if known and isinstance(cls, ClassValue):
            return Const(False)
    if isinstance(cls, Ref) and cls.name in ("builtins.tuple", "builtins.list", "builtins.dict"):
        if isinstance(value, TupleValue):
            return Const(cls.name == "builtins.tuple")
        if isinstance(value, Collection):
            return Const(cls.name == f"builtins.{value.kind}")
        if isinstance(value, Tensor):
            return Const(False)
    return UNKNOWN


_Function = Callable[[Invocation, str], "Value | None"]

_FUNCTIONS: dict[str, _Function] = {
    **dict.fromkeys(("list", "tuple", "set", "sorted", "reversed", "iter", "frozenset"), _listed),
    "filter": _filter,
    **dict.fromkeys(("property", "staticmethod", "classmethod"), _decorated),
    "namedtuple": _named,
    "enumerate": _enumerate,
    "zip": _zip,
    "range": _later,
    "dict": _dict,
    **dict.fromkeys(("float", "int", "bool"), _number),
    **dict.fromkeys(("sum", "max", "min", "abs", "pow"), _computed),
    "next": _next,
    "getattr": _getattr,
    "setattr": _setattr,
    "isinstance": _isinstance,
    "map": _map,
    **dict.fromkeys(("exit", "quit"), _exit),
    "object": _object,
    **dict.fromkeys(("vars", "globals", "locals", "exec", "eval"), _reflection),
    "str": _str,
    "len": _len,
}
"""What is called, by name; what gives None has nothing to tell of these arguments."""
