"""Calls of Python's own functions, as far as networks, tensors and what holds them go through them."""

from __future__ import annotations

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
    objects,
    training,
)
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, State
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
    Keywords,
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


def _keeps_all(predicate: Value) -> bool:
    """`lambda p: p.requires_grad`: a filter that leaves out nothing that could be trained."""
    body = predicate.node.body if isinstance(predicate, LambdaValue) and isinstance(predicate.node, ir.Lambda) else None
    return expressions.keeps_all(body)


def call_builtin(
    run: Run, frame: Frame, state: State, name: str, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    first = args[0] if args else UNKNOWN
    if name not in ("len", "isinstance", "type"):
        activations.read(run, args)
    if name.startswith("str."):
        # A text, or parts of one: no parameter stands behind it, and what it is formatted with stays as it is.
        return PLAIN
    if name in ("list", "tuple", "set", "sorted", "reversed", "iter", "frozenset"):
        return _listed(run, frame, state, name, args, at)
    if name == "filter" and len(args) == 2 and isinstance(args[1], Parameters):
        iterators.gone_through(run, frame, state, args[1], "filter", at)
        kept = args[1]._replace(shape="iterator", site=frame.site(at))
        return iterators.made(frame, state, kept if _keeps_all(first) else kept._replace(partial=True, whole=NOTHING))
    if name in ("property", "staticmethod", "classmethod") and len(args) == 1 and isinstance(first, FunctionValue):
        # As a decorator would: the way it is written where one is chosen, or in old code.
        return replace(first, decorators=(*first.decorators, f"builtins.{name}"))
    if name == "namedtuple":
        return external.named(run, state, first, args[1:], keywords)
    if name in ("enumerate", "zip", "range"):
        if name == "enumerate" and args:
            exact = containers.exact_items(run, state, first)
            if exact is not None and containers.worth_unrolling(exact):
                return TupleValue(tuple(TupleValue((Const(i), item)) for i, item in enumerate(exact)))
        if name == "zip" and args:
            columns = [containers.exact_items(run, state, arg) for arg in args]
            if all(column is not None for column in columns) and any(
                containers.worth_unrolling(column) for column in columns if column is not None
            ):
                return TupleValue(tuple(TupleValue(row) for row in zip(*(c or () for c in columns), strict=False)))
        return Partial(Ref(f"builtins.{name}"), args, ())
    if name == "dict":
        obj = objects.allocate(frame, at)
        keys = tuple(key for key, _ in keywords)
        values = tuple(value for _, value in keywords)
        known = not args and "**" not in keys
        state.heap[obj] = {
            ITEMS: Items(values if known else None, objects.join_values(values), keys if known else None)
        }
        return Collection(obj, "dict")
    if name in ("float", "int", "bool"):
        if isinstance(first, Tensor):
            result = expressions.cut(run, frame, first, name, at, python=True)
            return calls.record_call(run, frame, f"builtins.{name}", None, args, keywords, result, at)
        return UNKNOWN
    if name in ("sum", "max", "min", "abs", "pow"):
        if isinstance(first, Parameters):
            iterators.gone_through(run, frame, state, first, name, at)
            return Tensor(first.sources, requires=True, open=first.open)
        inner = external.tensors_in(run, state, args)
        if not any(isinstance(v, Tensor) for v in inner):
            return UNKNOWN
        result = combine(inner, f"builtins.{name}")
        return calls.record_call(run, frame, f"builtins.{name}", None, args, keywords, result, at)
    if name == "next":
        if isinstance(first, Parameters):
            return first._replace(shape="element", partial=True)
        return containers.element_of(run, frame, state, first)
    if name == "getattr" and len(args) >= 2:
        if isinstance(args[1], Const) and isinstance(args[1].value, str):
            return objects.get_attribute(run, frame, state, first, args[1].value, at)
        return UNKNOWN
    if name == "setattr" and len(args) == 3:
        _setattr(run, frame, state, args, at)
        return NONE
    if name == "isinstance" and len(args) == 2:
        return _isinstance(run, args)
    if name in ("map",) and len(args) == 2:
        element = containers.element_of(run, frame, state, args[1])
        mapped = calls.invoke(run, frame, state, args[0], (element,), (), at)
        return containers.make_collection(run, frame, state, "list", [mapped], False, at)
    if name in ("exit", "quit"):
        state.dead = True
    if name == "object":
        return UNKNOWN
    if name in ("vars", "globals", "locals", "exec", "eval"):
        training.forget_all_gradients(state)
    if name == "str":
        return Ref("builtins.text")
    if name == "len" and isinstance(first, Instance):
        layers = containers.exact_items(run, state, first)
        return PLAIN if layers is None else Const(len(layers))
    return PLAIN if name == "len" or (args and all(map(is_plain, args))) else UNKNOWN


def _listed(run: Run, frame: Frame, state: State, name: str, args: tuple[Value, ...], at: int) -> Value:
    if not args:
        if name == "tuple":
            return TupleValue(())
        return containers.make_collection(run, frame, state, "list", [], True, at)
    first = args[0]
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


def _setattr(run: Run, frame: Frame, state: State, args: tuple[Value, ...], at: int) -> None:
    receiver, key, value = args
    if isinstance(key, Const) and isinstance(key.value, str):
        objects.store_attribute(run, frame, state, receiver, key.value, value, at)
        return
    for option in options_of(receiver):
        if isinstance(option, Instance):
            # A computed name: the value is an attribute of the object, whichever.
            old = state.attribute(option.obj, "[added]")
            state.set_attribute(option.obj, "[added]", objects.join_values([v for v in (old, value) if v is not None]))


def _isinstance(run: Run, args: tuple[Value, ...]) -> Value:
    value, cls = args
    if isinstance(value, Instance) and isinstance(cls, (ClassValue, Ref)):
        order, known = class_lookup.mro(run, value.type)
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
