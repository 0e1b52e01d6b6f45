"""Calls of functions and classes from outside the user's files: torch, Lightning, the standard library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gradsense.program import (
    activations,
    calls,
    class_lookup,
    composition,
    containers,
    distributions,
    expressions,
    graph_layers,
    ir,
    iterators,
    marking,
    objects,
    shapes,
    training,
)
from gradsense.program.facts import Make
from gradsense.program.knowledge import classes, functions
from gradsense.program.knowledge import graph_layers as known_graph_layers
from gradsense.program.knowledge.names import canonical
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, OPEN, State
from gradsense.program.values import (
    DATA,
    NONE,
    NOTHING,
    NUMBER,
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
    Obj,
    Parameters,
    Partial,
    Ref,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    combine,
    is_plain,
    options_of,
)


def call_external(
    run: Run, frame: Frame, state: State, callee: Ref, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    """Call what a canonical dotted name stands for."""
    name = callee.name
    if name.startswith("builtins."):
        return _builtin(run, frame, state, name[9:], args, keywords, at)
    result = _result(run, frame, state, name, args, keywords, at)
    if name.startswith("torch."):
        result = activations.after_function(frame, name, args, keywords, result, at)
        result = shapes.after_function(run, state, name, args, keywords, result)
    return calls.record_call(run, frame, name, None, args, keywords, result, at)


def _result(
    run: Run, frame: Frame, state: State, name: str, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    kind = classes.kind_of(name)
    if kind is not None and kind is not Kind.OTHER:
        return _construct(run, frame, state, name, kind, args, keywords, at)
    handler = _FUNCTIONS.get(name)
    if handler is not None:
        return handler(run, frame, state, args, keywords, at)
    if name in functions.PACKING or name in functions.PADDING:
        given = args[:1] or tuple(value for key, value in keywords if key in functions.SEQUENCES)
        made = combine(_tensors_in(run, state, given), functions.PACKED if name in functions.PACKING else name)
        if name in functions.PACKING and not isinstance(made, Tensor):
            made = DATA._replace(made_by=functions.PACKED) if made == PLAIN else _unknown_tensor(functions.PACKED)
        return training.under_grad_mode(run, state, made)
    if name == "torch.nn.utils.rnn.pad_packed_sequence" and args and isinstance(args[0], Tensor):
        return TupleValue((args[0]._replace(made_by=name), PLAIN))
    if name in functions.GRAD_MODES:
        if name == "torch.set_grad_enabled":
            # As a statement it switches from here on; a `with` puts the outer mode back by itself.
            mode = objects.grad_mode(Partial(Ref(name), args, keywords))
            if mode is not None:
                state.grad, state.switch = mode[0], frame.site(at)
        return Partial(Ref(name), args, keywords)
    if name in (
        "contextlib.suppress",
        "torch.autocast",
        "contextlib.nullcontext",
        "torch.autograd.profiler.profile",
    ):
        return Partial(Ref(name), args, keywords)
    if name in functions.CLIPPING and args:
        training.clip(run, frame, state, args[0], at)
        limit = args[1] if len(args) > 1 else dict(keywords).get("max_norm", dict(keywords).get("clip_value"))
        if limit in (Const(0), Const(0.0)):
            held = training.holdings_of(run, state, args[0])
            clipped = Parameters(held.sources, held.open, partial=held.partial, of=held.of)
            training.clear_parameters(run, frame, state, clipped, "hand", at)
        return NUMBER
    if name in functions.FRESH_TENSORS:
        return _fresh(frame, keywords, at)
    if name in functions.REWRAPPING:
        return _rewrapped(run, frame, state, name, args, keywords, at)
    if name in classes.REPLACING and args and isinstance(args[0], Instance):
        lost, _ = composition.parameter_sources(run, state, args[0])
        training.replaced(run, frame, state, name.rpartition(".")[2], lost, NOTHING, at)
        return args[0]
    if name in classes.TRANSPARENT or name.startswith(("torch.nn.utils.prune.", "torch.nn.utils.parametrize.")):
        return args[0] if args else UNKNOWN
    head, _, last = name.rpartition(".")
    if head == "torch.nn.init" and last.endswith("_"):
        return args[0] if args else UNKNOWN
    if name.startswith("torch.") and (name.split(".", 2)[1] in _NO_TENSORS or name in functions.HARMLESS_CALLS):
        return UNKNOWN
    if head in ("torch", "torch.nn.functional", "torch.special", "torch.linalg", "torch.fft"):
        values = (*args, *(value for _, value in keywords))
        if last.endswith("_") or last.startswith("_foreach"):
            for value in _tensors_in(run, state, values):
                expressions.use(run, value)
        if functions.compares_with_labels(name):
            values = expressions.with_labels(args, keywords)
        merged = combine(_tensors_in(run, state, values), name)
        if last in functions.NON_DIFFERENTIABLE:
            cut = expressions.cut(run, frame, merged, last, at)
            return marking.encoded(frame, cut, at) if last == "one_hot" else cut
        if last in functions.STEPWISE:
            return expressions.flattened(run, frame, merged, last, at)
        if merged is UNKNOWN and head == "torch.nn.functional":
            merged = _unknown_tensor(name)
        if head == "torch.nn.functional" and last.endswith("_loss") and len(args) > 1:
            merged = marking.compared(frame, args[0], args[1], merged, at)
        if functions.compares_with_labels(name) and len(args) > 1:
            merged = marking.chosen(frame, args[0], args[1], merged, at)
        if last in functions.PICKS:
            merged = marking.picked(frame, last, args, keywords, merged, at)
        return training.under_grad_mode(run, state, merged)
    if name.split(".")[0] in ("numpy", "math") and _has_tensor(run, state, args):
        return expressions.cut(run, frame, combine(_tensors_in(run, state, args)), name, at, python=True)
    if name.split(".")[0] in functions.HARMLESS_ROOTS or name in functions.HARMLESS_CALLS:
        # Of a class (`tyro.cli(Args)`) they make objects that hold settings.
        return PLAIN if all(is_plain(arg) or isinstance(arg, ClassValue) for arg in args) else UNKNOWN
    if name.split(".")[0] in functions.DATA_ROOTS and all(map(is_plain, (*args, *(v for _, v in keywords)))):
        return PLAIN
    if known_graph_layers.is_graph_layer(name):
        return _construct(run, frame, state, name, Kind.MODULE, args, keywords, at)
    ancestry = run.imports.ancestry(name) if last[:1].isupper() and not functions.makes_no_network(name) else None
    if ancestry and (kind := _kind_among(ancestry)) is not None:
        return _construct(run, frame, state, name, kind, args, keywords, at)
    if functions.makes_a_network(name):
        instance = Instance(objects.allocate(frame, at), Ref(name), Kind.MODULE)
        state.heap[instance.obj] = {}
        return instance
    returned = run.imports.call_result(name)
    if returned:
        cls = canonical(returned[0])
        kind = classes.kind_of(cls) or _kind_among(returned[1:])
        if kind is not None:
            return _construct(run, frame, state, cls, kind, args, keywords, at, opaque=True)
    if name == "torch.distributions.kl_divergence":
        return distributions.divergence(run, state, args)
    values = (*args, *(value for _, value in keywords))
    training.unknown_code(run, state, values, callee=Ref(name))
    return training.result_of_unknown(args)


def _unknown_tensor(made_by: str) -> Tensor:
    return Tensor(requires=None, open=True, made_by=made_by)


def _kind_among(bases: tuple[str, ...]) -> Kind | None:
    """The kind of a class of an installed package with these bases, where it is one that has to do with training."""
    kinds = {classes.kind_of(canonical(base)) for base in bases}
    return next((kind for kind in (Kind.LIGHTNING, Kind.MODULE, Kind.OPTIMIZER, Kind.SCHEDULER) if kind in kinds), None)


_NO_TENSORS = frozenset(
    {"cuda", "backends", "distributed", "utils", "multiprocessing", "version", "random", "profiler"}
)


def _tensors_in(run: Run, state: State, values: tuple[Value, ...]) -> list[Value]:
    found: list[Value] = []
    for value in values:
        items = containers.exact_items(run, state, value) if isinstance(value, (TupleValue, Collection)) else None
        if items is not None:
            found += _tensors_in(run, state, items)
        elif isinstance(value, Collection):
            found.append(state.items(value.obj).element)
        elif isinstance(value, (Tensor, Unknown, Parameters)):
            found.append(value)
        else:
            found += [option for option in options_of(value) if isinstance(option, (Tensor, Unknown))]
    return found


def _has_tensor(run: Run, state: State, args: tuple[Value, ...]) -> bool:
    return any(isinstance(value, Tensor) for value in _tensors_in(run, state, args))


def _fresh(frame: Frame, keywords: Keywords, at: int) -> Value:
    requires = dict(keywords).get("requires_grad")
    if isinstance(requires, Const) and requires.value:
        leaf = Obj(frame.site(at), frame.calls, "leaf")
        return Tensor(frozenset((leaf,)), requires=True, leaf=frame.site(at), parameter=leaf)
    # An object of its own, which may be changed in place.
    return DATA._replace()


def _rewrapped(
    run: Run, frame: Frame, state: State, name: str, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    copied = _tensors_in(run, state, args[:1])
    value = combine(copied) if copied else PLAIN
    source = value if isinstance(value, Tensor) else Tensor(requires=False, data=value == PLAIN)
    result = expressions.cut(run, frame, source, name, at)
    assert isinstance(result, Tensor)
    if value is UNKNOWN:
        result = expressions.history_ends(frame, name, at)
    requires = dict(keywords).get("requires_grad")
    if "**" in dict(keywords) or not isinstance(requires, (Const, type(None))):
        return result._replace(requires=None, open=True, python=False, made_by=name)
    if isinstance(requires, Const) and requires.value:
        leaf = Obj(frame.site(at), frame.calls, "leaf")
        return result._replace(
            requires=True,
            leaf=frame.site(at),
            sources=frozenset((leaf,)),
            parameter=leaf,
            python=False,
        )
    return result._replace(requires=False, python=name.startswith("numpy."), made_by=name)


def _construct(
    run: Run,
    frame: Frame,
    state: State,
    name: str,
    kind: Kind,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
    opaque: bool = False,
) -> Value:
    instance = Instance(objects.allocate(frame, at), Ref(name), kind)
    state.heap[instance.obj] = {OPEN: True} if opaque else {}
    if kind is Kind.MODULE:
        if name in classes.WRAPPERS and args and args[0] is UNKNOWN:
            # Wherever it comes from, what is wrapped is a network.
            args = (objects.instance_of_class(run, frame, state, Ref("torch.nn.Module"), at, "module"), *args[1:])
        _construct_module(run, frame, state, instance, name, args, keywords, at)
        run.record(Make(frame.site(at), run.context(frame), instance, args, keywords, frame.in_forward), frame)
    elif kind is Kind.OPTIMIZER:
        if opaque:
            training.adopt_optimizer(run, state, instance)
        else:
            training.build_optimizer(run, frame, state, instance, args, keywords, at)
    elif kind is Kind.SCHEDULER:
        state.set_attribute(instance.obj, "optimizer", args[0] if args else dict(keywords).get("optimizer", UNKNOWN))
    elif kind is Kind.SCALER:
        enabled = dict(keywords).get("enabled")
        state.set_attribute(instance.obj, "[enabled]", enabled if enabled is not None else Const(True))
    elif kind is Kind.DISTRIBUTION:
        distributions.make(state, instance, args, keywords)
    elif kind is Kind.DATA:
        shapes.note_data(state, instance, name, args, keywords)
    elif kind is Kind.ENGINE:
        training.unknown_code(run, state, (*args, *(v for _, v in keywords)))
    return instance


def _construct_module(
    run: Run,
    frame: Frame,
    state: State,
    instance: Instance,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> None:
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
        model = args[0] if args else dict(keywords).get("model", UNKNOWN)
        state.set_attribute(instance.obj, "module", composition.clone(run, frame, state, model, at))
    elif name in classes.WRAPPERS:
        if name in classes.REPLACING and args and isinstance(args[0], Instance):
            lost, _ = composition.parameter_sources(run, state, args[0])
            training.replaced(run, frame, state, name.rpartition(".")[2], lost, NOTHING, at)
        state.set_attribute(instance.obj, "module", args[0] if args else dict(keywords).get("module", UNKNOWN))
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


# -- functions with a meaning of their own --


def _parameter(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    """`torch.nn.Parameter(data, requires_grad=True)`."""
    obj = Obj(frame.site(at), frame.calls, "parameter")
    requires = args[1] if len(args) > 1 else dict(keywords).get("requires_grad", Const(True))
    on = bool(requires.value) if isinstance(requires, Const) else None
    sources = frozenset((obj,)) if on is not False else NOTHING
    return Tensor(sources, requires=on, parameter=obj, made_by="torch.nn.Parameter")


def _autograd_grad(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    for value in _tensors_in(run, state, args):
        expressions.use(run, value)
    create = dict(keywords).get("create_graph")
    graph = isinstance(create, Const) and bool(create.value)
    value = args[0] if args else UNKNOWN
    sources = value.sources if isinstance(value, Tensor) and graph else NOTHING
    return Tensor(sources, requires=graph, open=graph, gradients=frozenset((frame.site(at),)))


def _autograd_backward(
    run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    merged = combine(_tensors_in(run, state, args[:1])) if args else UNKNOWN
    training.backward(run, frame, state, merged, "torch.autograd.backward", at, keywords)
    return NONE


def _distributed_backward(
    run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    training.forget_all_gradients(state)
    return NONE


def _data_parallel(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    """`torch.nn.parallel.data_parallel(module, inputs, ...)`: what the module gives, computed on several devices."""
    return calls.invoke(run, frame, state, args[0], args[1:2], (), at) if args else UNKNOWN


def _deepcopy(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    return composition.clone(run, frame, state, args[0], at) if args else UNKNOWN


def _partial(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    return Partial(args[0], args[1:], keywords) if args else UNKNOWN


def _as_tensor(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    if args and isinstance(args[0], Tensor):
        return args[0]._replace(python=False)
    return DATA if args and isinstance(args[0], Const) else UNKNOWN


def _from_numpy(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    if args and isinstance(args[0], Tensor):
        return args[0]._replace(python=False, made_by="torch.from_numpy")
    return DATA._replace()


def _chain(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    parts: list[Parameters] = []
    for arg in args:
        each = arg if isinstance(arg, Parameters) else _parameters_of(run, state, arg)
        if each is None:
            return iterators.made(frame, state, Parameters(NOTHING, True, site=frame.site(at)))
        iterators.gone_through(run, frame, state, each, "chain", at)
        parts.append(each)
    if not parts:
        return UNKNOWN
    return iterators.made(frame, state, composition.merged_parameters(parts, "iterator", frame.site(at)))


def _parameters_of(run: Run, state: State, value: Value) -> Parameters | None:
    if isinstance(value, (Collection, TupleValue, Tensor)):
        held = training.holdings_of(run, state, value)
        return Parameters(held.sources, held.open, held.whole, "list", held.partial, of=held.of)
    return None


def _detached_data(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    return expressions.cut(run, frame, args[0], "detach", at) if args else UNKNOWN


def _namespace(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    """`types.SimpleNamespace(loss=loss)`: an object with the attributes that it is given."""
    instance = Instance(objects.allocate(frame, at), Ref("types.SimpleNamespace"), Kind.OTHER)
    state.heap[instance.obj] = {OPEN: True} if args or "**" in dict(keywords) else {}
    for name, value in keywords:
        if name != "**":
            state.set_attribute(instance.obj, name, value)
    return instance


def _sys_exit(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    state.dead = True
    return UNKNOWN


def _namedtuple(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    """`namedtuple("Step", "state reward")`: a class of tuples whose items go by names."""
    given = args[1] if len(args) == 2 and not keywords else UNKNOWN
    names: list[object] = []
    if isinstance(given, Const) and isinstance(given.value, str):
        names += given.value.replace(",", " ").split()
    else:
        names += [item.value for item in containers.exact_items(run, state, given) or () if isinstance(item, Const)]
    if not names:
        return UNKNOWN
    return Partial(Ref("builtins.namedtuple"), (TupleValue(tuple(Const(name) for name in names)),), ())


def _named(run: Run, state: State, fields: Value, args: tuple[Value, ...], keywords: Keywords) -> Value:
    """A tuple of such a class."""
    assert isinstance(fields, TupleValue)
    names = tuple(str(field.value) for field in fields.items if isinstance(field, Const))
    given = {**dict(zip(names, args, strict=False)), **dict(keywords)}
    if len(args) + len(keywords) != len(names) or given.keys() != set(names):
        training.unknown_code(run, state, (*args, *(value for _, value in keywords)))
        return UNKNOWN
    return TupleValue(tuple(given[name] for name in names), names)


_External = Callable[[Run, Frame, State, tuple[Value, ...], Keywords, int], Value]

_FUNCTIONS: dict[str, _External] = {
    "torch.nn.Parameter": _parameter,
    "torch.autograd.grad": _autograd_grad,
    "torch.autograd.backward": _autograd_backward,
    "torch.distributed.autograd.backward": _distributed_backward,
    "torch.nn.parallel.data_parallel": _data_parallel,
    "copy.deepcopy": _deepcopy,
    "copy.copy": lambda run, frame, state, args, keywords, at: UNKNOWN,
    "functools.partial": _partial,
    "torch.as_tensor": _as_tensor,
    "torch.from_numpy": _from_numpy,
    "itertools.chain": _chain,
    "torch.detach": _detached_data,
    "collections.namedtuple": _namedtuple,
    "types.SimpleNamespace": _namespace,
    "argparse.Namespace": _namespace,
    "sys.exit": _sys_exit,
    "os._exit": _sys_exit,
    "tqdm.tqdm": lambda run, frame, state, args, keywords, at: args[0] if args else UNKNOWN,
    "tqdm.auto.tqdm": lambda run, frame, state, args, keywords, at: args[0] if args else UNKNOWN,
    "tqdm.notebook.tqdm": lambda run, frame, state, args, keywords, at: args[0] if args else UNKNOWN,
    "tqdm.trange": lambda run, frame, state, args, keywords, at: Partial(Ref("builtins.range"), args, ()),
    "rich.progress.track": lambda run, frame, state, args, keywords, at: args[0] if args else UNKNOWN,
    "collections.OrderedDict": lambda run, frame, state, args, keywords, at: _builtin(
        run, frame, state, "dict", args, keywords, at
    ),
    "collections.deque": lambda run, frame, state, args, keywords, at: containers.make_collection(
        run, frame, state, "list", [], False, at
    ),
}


# -- builtins --


def _keeps_all(predicate: Value) -> bool:
    """`lambda p: p.requires_grad`: a filter that leaves out nothing that could be trained."""
    body = predicate.node.body if isinstance(predicate, LambdaValue) and isinstance(predicate.node, ir.Lambda) else None
    return expressions.keeps_all(body)


def _builtin(
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
        return _named(run, state, first, args[1:], keywords)
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
        inner = _tensors_in(run, state, args)
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
