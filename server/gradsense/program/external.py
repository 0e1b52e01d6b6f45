"""Calls of functions and classes from outside the user's files: torch, Lightning, the standard library."""

from __future__ import annotations

from collections.abc import Callable

from gradsense.program import (
    activations,
    builtin_calls,
    calls,
    composition,
    construction,
    containers,
    distributions,
    expressions,
    iterators,
    marking,
    objects,
    shapes,
    training,
)
from gradsense.program.knowledge import classes, functions
from gradsense.program.knowledge import graph_layers as known_graph_layers
from gradsense.program.knowledge.names import canonical
from gradsense.program.run import Frame, Run
from gradsense.program.state import OPEN, State
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
    Instance,
    Keywords,
    Kind,
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
        return builtin_calls.call_builtin(run, frame, state, name[9:], args, keywords, at)
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
        return construction.construct(run, frame, state, name, kind, args, keywords, at)
    handler = _FUNCTIONS.get(name)
    if handler is not None:
        return handler(run, frame, state, args, keywords, at)
    if name in functions.PACKING or name in functions.PADDING:
        given = args[:1] or tuple(value for key, value in keywords if key in functions.SEQUENCES)
        made = combine(tensors_in(run, state, given), functions.PACKED if name in functions.PACKING else name)
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
            for value in tensors_in(run, state, values):
                expressions.use(run, value)
        if functions.compares_with_labels(name):
            values = expressions.with_labels(args, keywords)
        merged = combine(tensors_in(run, state, values), name)
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
        return expressions.cut(run, frame, combine(tensors_in(run, state, args)), name, at, python=True)
    if name.split(".")[0] in functions.HARMLESS_ROOTS or name in functions.HARMLESS_CALLS:
        # Of a class (`tyro.cli(Args)`) they make objects that hold settings.
        return PLAIN if all(is_plain(arg) or isinstance(arg, ClassValue) for arg in args) else UNKNOWN
    if name.split(".")[0] in functions.DATA_ROOTS and all(map(is_plain, (*args, *(v for _, v in keywords)))):
        return PLAIN
    if known_graph_layers.is_graph_layer(name):
        return construction.construct(run, frame, state, name, Kind.MODULE, args, keywords, at)
    ancestry = run.imports.ancestry(name) if last[:1].isupper() and not functions.makes_no_network(name) else None
    if ancestry and (kind := _kind_among(ancestry)) is not None:
        return construction.construct(run, frame, state, name, kind, args, keywords, at)
    if functions.makes_a_network(name):
        instance = Instance(objects.allocate(frame, at), Ref(name), Kind.MODULE)
        state.heap[instance.obj] = {}
        return instance
    returned = run.imports.call_result(name)
    if returned:
        cls = canonical(returned[0])
        kind = classes.kind_of(cls) or _kind_among(returned[1:])
        if kind is not None:
            return construction.construct(run, frame, state, cls, kind, args, keywords, at, opaque=True)
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


def tensors_in(run: Run, state: State, values: tuple[Value, ...], within: frozenset[Obj] = NOTHING) -> list[Value]:
    """The tensors, parameters and unknown values among `values` and in lists of them; `within` are the lists that they
    lie in: in a loop `x = [x]` can't be told from a list that holds itself.
    """
    found: list[Value] = []
    for value in values:
        if isinstance(value, Collection) and value.obj in within:
            found.append(UNKNOWN)
            continue
        items = containers.exact_items(run, state, value) if isinstance(value, (TupleValue, Collection)) else None
        if items is not None:
            found += tensors_in(run, state, items, within | {value.obj} if isinstance(value, Collection) else within)
        elif isinstance(value, Collection):
            found.append(state.items(value.obj).element)
        elif isinstance(value, (Tensor, Unknown, Parameters)):
            found.append(value)
        else:
            found += [option for option in options_of(value) if isinstance(option, (Tensor, Unknown))]
    return found


def _has_tensor(run: Run, state: State, args: tuple[Value, ...]) -> bool:
    return any(isinstance(value, Tensor) for value in tensors_in(run, state, args))


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
    copied = tensors_in(run, state, args[:1])
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


def _parameter(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    """`torch.nn.Parameter(data, requires_grad=True)`."""
    obj = Obj(frame.site(at), frame.calls, "parameter")
    requires = args[1] if len(args) > 1 else dict(keywords).get("requires_grad", Const(True))
    on = bool(requires.value) if isinstance(requires, Const) else None
    sources = frozenset((obj,)) if on is not False else NOTHING
    return Tensor(sources, requires=on, parameter=obj, made_by="torch.nn.Parameter")


def _autograd_grad(run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int) -> Value:
    for value in tensors_in(run, state, args):
        expressions.use(run, value)
    create = dict(keywords).get("create_graph")
    graph = isinstance(create, Const) and bool(create.value)
    value = args[0] if args else UNKNOWN
    sources = value.sources if isinstance(value, Tensor) and graph else NOTHING
    return Tensor(sources, requires=graph, open=graph, gradients=frozenset((frame.site(at),)))


def _autograd_backward(
    run: Run, frame: Frame, state: State, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    merged = combine(tensors_in(run, state, args[:1])) if args else UNKNOWN
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


def named(run: Run, state: State, fields: Value, args: tuple[Value, ...], keywords: Keywords) -> Value:
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
    "collections.OrderedDict": lambda run, frame, state, args, keywords, at: builtin_calls.call_builtin(
        run, frame, state, "dict", args, keywords, at
    ),
    "collections.deque": lambda run, frame, state, args, keywords, at: containers.make_collection(
        run, frame, state, "list", [], False, at
    ),
}


# -- builtins --
