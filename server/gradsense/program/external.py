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
from gradsense.program.invocation import Invocation
from gradsense.program.knowledge import classes, functions
from gradsense.program.knowledge import graph_layers as known_graph_layers
from gradsense.program.knowledge.names import canonical
from gradsense.program.run import Run
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


def call_external(call: Invocation, callee: Ref) -> Value:
    """Call what a canonical dotted name stands for."""
    name = callee.name
    if name.startswith("builtins."):
        return builtin_calls.call_builtin(call, name[9:])
    result = _result(call, name)
    if name.startswith("torch."):
        result = activations.after_function(call.frame, name, call.args, call.keywords, result, call.at)
        result = shapes.after_function(call.run, call.state, name, call.args, call.keywords, result)
    return call.record(name, None, result)


def _result(call: Invocation, name: str) -> Value:
    kind = classes.kind_of(name)
    if kind is not None and kind is not Kind.OTHER:
        return construction.construct(call, name, kind)
    for told in (_FUNCTIONS.get(name), _of_torch, _of_plain_python, _of_library):
        result = told(call, name) if told is not None else None
        if result is not None:
            return result
    training.unknown_code(call.run, call.state, call.values, callee=Ref(name))
    return training.result_of_unknown(call.args)


def _of_torch(call: Invocation, name: str) -> Value | None:
    """A function of torch that has no entry of its own, by where it lies; None for what isn't known."""
    run, frame, state, at = call.run, call.frame, call.state, call.at
    head, _, last = name.rpartition(".")
    if name.startswith(("torch.nn.utils.prune.", "torch.nn.utils.parametrize.")):
        return _given_back(call, name)
    if head == "torch.nn.init" and last.endswith("_"):
        return _given_back(call, name)
    if name.startswith("torch.") and (name.split(".", 2)[1] in _NO_TENSORS or name in functions.HARMLESS_CALLS):
        return UNKNOWN
    if head not in ("torch", "torch.nn.functional", "torch.special", "torch.linalg", "torch.fft"):
        return None
    values = call.values
    if last.endswith("_") or last.startswith("_foreach"):
        for value in tensors_in(run, state, values):
            expressions.use(run, value)
    if functions.compares_with_labels(name):
        values = expressions.with_labels(call.args, call.keywords)
    merged = combine(tensors_in(run, state, values), name)
    if last in functions.NON_DIFFERENTIABLE:
        cut = expressions.cut(run, frame, merged, last, at)
        return marking.encoded(frame, cut, at) if last == "one_hot" else cut
    if last in functions.STEPWISE:
        return expressions.flattened(run, frame, merged, last, at)
    if merged is UNKNOWN and head == "torch.nn.functional":
        merged = _unknown_tensor(name)
    if head == "torch.nn.functional" and last.endswith("_loss") and len(call.args) > 1:
        merged = marking.compared(frame, call.args[0], call.args[1], merged, at)
    if functions.compares_with_labels(name) and len(call.args) > 1:
        merged = marking.chosen(frame, call.args[0], call.args[1], merged, at)
    if last in marking.MEASURES:
        merged = marking.measured(merged)
    if last in marking.PRODUCTS:
        merged = marking.squared(call.args[:2], merged)
    if last in functions.PICKS:
        merged = marking.picked(frame, last, call.args, call.keywords, merged, at)
    return training.under_grad_mode(run, state, merged)


def _of_plain_python(call: Invocation, name: str) -> Value | None:
    """A function of a package that knows nothing of gradients; None for what isn't known."""
    root = name.split(".")[0]
    if root in ("numpy", "math"):
        tensors = tensors_in(call.run, call.state, call.args)
        if any(isinstance(value, Tensor) for value in tensors):
            return expressions.cut(call.run, call.frame, combine(tensors), name, call.at, python=True)
    if root in functions.HARMLESS_ROOTS or name in functions.HARMLESS_CALLS:
        # Of a class (`tyro.cli(Args)`) they make objects that hold settings.
        return PLAIN if all(is_plain(arg) or isinstance(arg, ClassValue) for arg in call.args) else UNKNOWN
    return PLAIN if root in functions.DATA_ROOTS and all(map(is_plain, call.values)) else None


def _of_library(call: Invocation, name: str) -> Value | None:
    """What a library makes, told by the name, or by the library's own sources; None for what isn't known."""
    if known_graph_layers.is_graph_layer(name):
        return construction.construct(call, name, Kind.MODULE)
    imports = call.run.imports
    is_class = name.rpartition(".")[2][:1].isupper() and not functions.makes_no_network(name)
    ancestry = imports.ancestry(name) if is_class else None
    if ancestry and (kind := _kind_among(ancestry)) is not None:
        return construction.construct(call, name, kind)
    if functions.makes_a_network(name):
        instance = Instance(objects.allocate(call.frame, call.at), Ref(name), Kind.MODULE)
        call.state.heap[instance.obj] = {}
        return instance
    returned = imports.call_result(name)
    if returned:
        cls = canonical(returned[0])
        made = classes.kind_of(cls) or _kind_among(returned[1:])
        if made is not None:
            return construction.construct(call, cls, made, opaque=True)
    return None


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


# --- functions with a meaning of their own


def _given_back(call: Invocation, name: str) -> Value:
    """What gives its first argument, or something with the same parameters, back."""
    return call.args[0] if call.args else UNKNOWN


def _packed(call: Invocation, name: str) -> Value:
    given = call.args[:1] or tuple(value for key, value in call.keywords if key in functions.SEQUENCES)
    tensors = tensors_in(call.run, call.state, given)
    made = combine(tensors, functions.PACKED)
    if not isinstance(made, Tensor):
        made = DATA._replace(made_by=functions.PACKED) if made == PLAIN else _unknown_tensor(functions.PACKED)
    return training.under_grad_mode(call.run, call.state, made)


def _padded(call: Invocation, name: str) -> Value:
    given = call.args[:1] or tuple(value for key, value in call.keywords if key in functions.SEQUENCES)
    made = combine(tensors_in(call.run, call.state, given), name)
    return training.under_grad_mode(call.run, call.state, made)


def _unpacked(call: Invocation, name: str) -> Value | None:
    """`pad_packed_sequence(packed)`: the padded sequences and their lengths."""
    given = call.args[0] if call.args else UNKNOWN
    return TupleValue((given._replace(made_by=name), PLAIN)) if isinstance(given, Tensor) else None


def _as_it_is_called(call: Invocation, name: str) -> Value:
    """A context manager, or what is called later: it stands for itself with its arguments."""
    return Partial(Ref(name), call.args, call.keywords)


def _set_grad_enabled(call: Invocation, name: str) -> Value:
    # As a statement it switches from here on; a `with` puts the outer mode back by itself.
    switching = Partial(Ref(name), call.args, call.keywords)
    mode = objects.grad_mode(switching)
    if mode is not None:
        call.state.grad, call.state.switch = mode[0], call.site
    return switching


def _clip(call: Invocation, name: str) -> Value | None:
    run, frame, state, at = call.run, call.frame, call.state, call.at
    if not call.args:
        return None
    training.clip(run, frame, state, call.args[0], at)
    limit = call.argument(1, "max_norm" if name.endswith("norm_") else "clip_value")
    if limit in (Const(0), Const(0.0)):
        held = training.holdings_of(run, state, call.args[0])
        clipped = Parameters(held.sources, held.open, partial=held.partial, of=held.of)
        training.clear_parameters(run, frame, state, clipped, "hand", at)
    return NUMBER


def _replacing(call: Invocation, name: str) -> Value | None:
    """New parameters in the place of those of the Module that is given."""
    module = call.args[0] if call.args else UNKNOWN
    if not isinstance(module, Instance):
        return None
    lost, _ = composition.parameter_sources(call.run, call.state, module)
    training.replaced(call.run, call.frame, call.state, name.rpartition(".")[2], lost, NOTHING, call.at)
    return module


def _fresh(call: Invocation, name: str) -> Value:
    requires = dict(call.keywords).get("requires_grad")
    if isinstance(requires, Const) and requires.value:
        leaf = Obj(call.site, call.frame.calls, "leaf")
        return Tensor(frozenset((leaf,)), requires=True, leaf=call.site, parameter=leaf)
    # An object of its own, which may be changed in place.
    return DATA._replace()


def _rewrapped(call: Invocation, name: str) -> Value:
    copied = tensors_in(call.run, call.state, call.args[:1])
    value = combine(copied) if copied else PLAIN
    source = value if isinstance(value, Tensor) else Tensor(requires=False, data=value == PLAIN)
    result = expressions.cut(call.run, call.frame, source, name, call.at)
    assert isinstance(result, Tensor)
    if value is UNKNOWN:
        result = expressions.history_ends(call.frame, name, call.at)
    keywords = dict(call.keywords)
    requires = keywords.get("requires_grad")
    if "**" in keywords or not isinstance(requires, (Const, type(None))):
        return result._replace(requires=None, open=True, python=False, made_by=name)
    if isinstance(requires, Const) and requires.value:
        leaf = Obj(call.site, call.frame.calls, "leaf")
        return result._replace(
            requires=True,
            leaf=call.site,
            sources=frozenset((leaf,)),
            parameter=leaf,
            python=False,
        )
    return result._replace(requires=False, python=name.startswith("numpy."), made_by=name)


def _parameter(call: Invocation, name: str) -> Value:
    """`torch.nn.Parameter(data, requires_grad=True)`."""
    obj = Obj(call.site, call.frame.calls, "parameter")
    requires = call.argument(1, "requires_grad") or Const(True)
    on = bool(requires.value) if isinstance(requires, Const) else None
    sources = frozenset((obj,)) if on is not False else NOTHING
    return Tensor(sources, requires=on, parameter=obj, made_by="torch.nn.Parameter")


def _own_optimizer(call: Invocation, name: str) -> Value | None:
    """`torch.optim.Optimizer.__init__(self, params, defaults)` in an optimizer of the user's own."""
    if len(call.args) < 2 or not isinstance(call.args[0], Instance):
        return None
    call.state.set_attribute(call.args[0].obj, training.PARAMS, call.args[1])
    return NONE


def _autograd_grad(call: Invocation, name: str) -> Value:
    for value in tensors_in(call.run, call.state, call.args):
        expressions.use(call.run, value)
    create = dict(call.keywords).get("create_graph")
    graph = isinstance(create, Const) and bool(create.value)
    value = call.args[0] if call.args else UNKNOWN
    sources = value.sources if isinstance(value, Tensor) and graph else NOTHING
    return Tensor(sources, requires=graph, open=graph, gradients=frozenset((call.site,)))


def _autograd_backward(call: Invocation, name: str) -> Value:
    merged = combine(tensors_in(call.run, call.state, call.args[:1])) if call.args else UNKNOWN
    training.backward(call.run, call.frame, call.state, merged, "torch.autograd.backward", call.at, call.keywords)
    return NONE


def _distributed_backward(call: Invocation, name: str) -> Value:
    training.forget_all_gradients(call.state)
    return NONE


def _data_parallel(call: Invocation, name: str) -> Value:
    """`torch.nn.parallel.data_parallel(module, inputs, ...)`: what the module gives, computed on several devices."""
    if not call.args:
        return UNKNOWN
    return calls.invoke(call.run, call.frame, call.state, call.args[0], call.args[1:2], (), call.at)


def _deepcopy(call: Invocation, name: str) -> Value:
    return composition.clone(call.run, call.frame, call.state, call.args[0], call.at) if call.args else UNKNOWN


def _unknown(call: Invocation, name: str) -> Value:
    return UNKNOWN


def _partial(call: Invocation, name: str) -> Value:
    return Partial(call.args[0], call.args[1:], call.keywords) if call.args else UNKNOWN


def _as_tensor(call: Invocation, name: str) -> Value:
    given = call.args[0] if call.args else UNKNOWN
    if isinstance(given, Tensor):
        return given._replace(python=False)
    return DATA if isinstance(given, Const) else UNKNOWN


def _from_numpy(call: Invocation, name: str) -> Value:
    given = call.args[0] if call.args else UNKNOWN
    return given._replace(python=False, made_by=name) if isinstance(given, Tensor) else DATA._replace()


def _chain(call: Invocation, name: str) -> Value:
    run, frame, state, at = call.run, call.frame, call.state, call.at
    parts: list[Parameters] = []
    for arg in call.args:
        each = arg if isinstance(arg, Parameters) else _parameters_of(run, state, arg)
        if each is None:
            return iterators.made(frame, state, Parameters(NOTHING, True, site=call.site))
        iterators.gone_through(run, frame, state, each, "chain", at)
        parts.append(each)
    if not parts:
        return UNKNOWN
    return iterators.made(frame, state, composition.merged_parameters(parts, "iterator", call.site))


def _parameters_of(run: Run, state: State, value: Value) -> Parameters | None:
    if isinstance(value, (Collection, TupleValue, Tensor)):
        held = training.holdings_of(run, state, value)
        return Parameters(held.sources, held.open, held.whole, "list", held.partial, of=held.of)
    return None


def _detached_data(call: Invocation, name: str) -> Value:
    return expressions.cut(call.run, call.frame, call.args[0], "detach", call.at) if call.args else UNKNOWN


def _divergence(call: Invocation, name: str) -> Value:
    return distributions.divergence(call.run, call.state, call.args)


def _namespace(call: Invocation, name: str) -> Value:
    """`types.SimpleNamespace(loss=loss)`: an object with the attributes that it is given."""
    instance = Instance(objects.allocate(call.frame, call.at), Ref("types.SimpleNamespace"), Kind.OTHER)
    call.state.heap[instance.obj] = {OPEN: True} if call.args or "**" in dict(call.keywords) else {}
    for keyword, value in call.keywords:
        if keyword != "**":
            call.state.set_attribute(instance.obj, keyword, value)
    return instance


def _exit(call: Invocation, name: str) -> Value:
    call.state.dead = True
    return UNKNOWN


def _range(call: Invocation, name: str) -> Value:
    return Partial(Ref("builtins.range"), call.args, ())


def _ordered_dict(call: Invocation, name: str) -> Value:
    return builtin_calls.call_builtin(call, "dict")


def _deque(call: Invocation, name: str) -> Value:
    return containers.make_collection(call.run, call.frame, call.state, "list", [], False, call.at)


def _namedtuple(call: Invocation, name: str) -> Value:
    """`namedtuple("Step", "state reward")`: a class of tuples whose items go by names."""
    given = call.args[1] if len(call.args) == 2 and not call.keywords else UNKNOWN
    names: list[object] = []
    if isinstance(given, Const) and isinstance(given.value, str):
        names += given.value.replace(",", " ").split()
    else:
        items = containers.exact_items(call.run, call.state, given) or ()
        names += [item.value for item in items if isinstance(item, Const)]
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


_Function = Callable[[Invocation, str], "Value | None"]

_FUNCTIONS: dict[str, _Function] = {
    **dict.fromkeys(functions.PACKING, _packed),
    **dict.fromkeys(functions.PADDING, _padded),
    "torch.nn.utils.rnn.pad_packed_sequence": _unpacked,
    **dict.fromkeys(functions.GRAD_MODES, _as_it_is_called),
    "torch.set_grad_enabled": _set_grad_enabled,
    "contextlib.suppress": _as_it_is_called,
    "torch.autocast": _as_it_is_called,
    "contextlib.nullcontext": _as_it_is_called,
    "torch.autograd.profiler.profile": _as_it_is_called,
    **dict.fromkeys(functions.CLIPPING, _clip),
    **dict.fromkeys(functions.FRESH_TENSORS, _fresh),
    **dict.fromkeys(functions.REWRAPPING, _rewrapped),
    **dict.fromkeys(classes.TRANSPARENT, _given_back),
    **dict.fromkeys(classes.REPLACING, _replacing),
    "torch.nn.Parameter": _parameter,
    "torch.optim.Optimizer.__init__": _own_optimizer,
    "torch.autograd.grad": _autograd_grad,
    "torch.autograd.backward": _autograd_backward,
    "torch.distributed.autograd.backward": _distributed_backward,
    "torch.distributions.kl_divergence": _divergence,
    "torch.nn.parallel.data_parallel": _data_parallel,
    "copy.deepcopy": _deepcopy,
    "copy.copy": _unknown,
    "functools.partial": _partial,
    "torch.as_tensor": _as_tensor,
    "torch.from_numpy": _from_numpy,
    "itertools.chain": _chain,
    "torch.detach": _detached_data,
    "collections.namedtuple": _namedtuple,
    "types.SimpleNamespace": _namespace,
    "argparse.Namespace": _namespace,
    "sys.exit": _exit,
    "os._exit": _exit,
    "tqdm.tqdm": _given_back,
    "tqdm.auto.tqdm": _given_back,
    "tqdm.notebook.tqdm": _given_back,
    "tqdm.trange": _range,
    "rich.progress.track": _given_back,
    "collections.OrderedDict": _ordered_dict,
    "collections.deque": _deque,
}
