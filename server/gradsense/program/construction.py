"""What calling a class of torch, Lightning or a library makes: Modules, optimizers, schedulers, distributions, ..."""

from __future__ import annotations

from gradsense.program import (
    activations,
    class_lookup,
    composition,
    distributions,
    graph_layers,
    objects,
    shapes,
    training,
)
from gradsense.program.facts import Make
from gradsense.program.invocation import Invocation
from gradsense.program.knowledge import classes
from gradsense.program.knowledge import graph_layers as known_graph_layers
from gradsense.program.state import ITEMS, OPEN
from gradsense.program.values import (
    NOTHING,
    UNKNOWN,
    Collection,
    Const,
    Instance,
    Items,
    Kind,
    Ref,
    TupleValue,
    Value,
)


def construct(call: Invocation, name: str, kind: Kind, opaque: bool = False) -> Value:
    """A new object of a class from outside; of an `opaque` one it isn't known what it was made with."""
    run, frame, state, args, keywords, at = call
    instance = Instance(objects.allocate(frame, at), Ref(name), kind)
    state.heap[instance.obj] = {OPEN: True} if opaque else {}
    if kind is Kind.MODULE:
        if name in classes.WRAPPERS and args and args[0] is UNKNOWN:
            # Wherever it comes from, what is wrapped is a network.
            args = (objects.instance_of_class(run, frame, state, Ref("torch.nn.Module"), at, "module"), *args[1:])
            call = call._replace(args=args)
        _construct_module(call, instance, name)
        run.record(Make(call.site, run.context(frame), instance, args, keywords, frame.in_forward), frame)
    elif kind is Kind.OPTIMIZER:
        if opaque:
            training.adopt_optimizer(run, state, instance)
        else:
            training.build_optimizer(run, frame, state, instance, args, keywords, at)
    elif kind is Kind.SCHEDULER:
        state.set_attribute(instance.obj, "optimizer", call.argument(0, "optimizer") or UNKNOWN)
    elif kind is Kind.SCALER:
        state.set_attribute(instance.obj, "[enabled]", dict(keywords).get("enabled") or Const(True))
    elif kind is Kind.DISTRIBUTION:
        distributions.make(state, instance, args, keywords)
    elif kind is Kind.DATA:
        shapes.note_data(state, instance, name, args, keywords)
    elif kind is Kind.ENGINE:
        training.unknown_code(run, state, call.values)
    return instance


def _construct_module(call: Invocation, instance: Instance, name: str) -> None:
    run, frame, state, args, keywords, at = call
    activations.note_layer(state, instance, name, args, keywords)
    shapes.note_layer(state, instance, name, args, keywords)
    if name == "torch.nn.Sequential":
        if len(args) == 1 and isinstance(args[0], Collection):
            items = state.items(args[0].obj)
            state.set_attribute(instance.obj, ITEMS, items)
        else:
            flat = [arg for arg in args if not isinstance(arg, Collection)]
            exact = tuple(args) if len(flat) == len(args) else None
            values = [state.items(a.obj).element if isinstance(a, Collection) else a for a in args]
            state.set_attribute(instance.obj, ITEMS, Items(exact, objects.join_values(values)))
    elif classes.is_container(name):
        if not args:
            state.set_attribute(instance.obj, ITEMS, Items((), UNKNOWN, () if name.endswith("Dict") else None))
            return
        given = args[0]
        if isinstance(given, Collection):
            state.set_attribute(instance.obj, ITEMS, state.items(given.obj))
        elif isinstance(given, TupleValue):
            state.set_attribute(instance.obj, ITEMS, Items(given.items, objects.join_values(given.items)))
        elif isinstance(given, Instance) and class_lookup.is_module(given):
            state.set_attribute(instance.obj, ITEMS, state.items(given.obj))
        else:
            state.set_attribute(instance.obj, ITEMS, Items(None, UNKNOWN))
            state.set_attribute(instance.obj, OPEN, True)
    elif name in classes.AVERAGES:
        model = call.argument(0, "model") or UNKNOWN
        state.set_attribute(instance.obj, "module", composition.clone(run, frame, state, model, at))
    elif name in classes.WRAPPERS:
        if name in classes.REPLACING and args and isinstance(args[0], Instance):
            lost, _ = composition.parameter_sources(run, state, args[0])
            training.replaced(run, frame, state, name.rpartition(".")[2], lost, NOTHING, at)
        state.set_attribute(instance.obj, "module", call.argument(0, "module") or UNKNOWN)
    elif known_graph_layers.is_graph_layer(name):
        graph_layers.note(state, instance, name, args, keywords)
    else:
        if args and name.rpartition(".")[2] in _INPLACE_FIRST:
            state.set_attribute(instance.obj, "inplace", args[0])
        for keyword, value in keywords:
            if keyword in _KEPT:
                state.set_attribute(instance.obj, _KEPT[keyword], value)


_KEPT = {
    "affine": "affine",
    "elementwise_affine": "affine",
    "track_running_stats": "track_running_stats",
    "dropout": "dropout",
    "inplace": "inplace",
}
"""Arguments of layers that decide about their parameters and their mode, and the attributes that keep them."""


_INPLACE_FIRST = frozenset({"ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid"})
"""Layers whose first argument is `inplace`."""
