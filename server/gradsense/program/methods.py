"""Methods and attributes of what torch and Lightning make: tensors, Modules, optimizers, parameters, containers."""

from __future__ import annotations

from dataclasses import replace

from gradsense.program import (
    activations,
    calls,
    class_lookup,
    composition,
    containers,
    distributions,
    expressions,
    in_place,
    iterators,
    modes,
    objects,
    shapes,
    training,
)
from gradsense.program.facts import SchedulerStep
from gradsense.program.knowledge import classes, functions
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, OPEN, UNKNOWN_GRADIENTS, State, after_backward
from gradsense.program.values import (
    NONE,
    NOTHING,
    PLAIN,
    UNKNOWN,
    Choice,
    ClassValue,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Items,
    Kind,
    Method,
    Obj,
    Parameters,
    Partial,
    Parts,
    Ref,
    Super,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    combine,
    is_plain,
    join,
    options_of,
)

Keywords = tuple[tuple[str, Value], ...]


def call_method(
    run: Run, frame: Frame, state: State, method: Method, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    """Call a method that is not the user's own."""
    receiver, name = method.receiver, method.name
    if isinstance(receiver, Tensor):
        return _tensor(run, frame, state, receiver, name, args, keywords, at)
    if isinstance(receiver, Parameters):
        return _parameters(run, frame, state, receiver, name, args, keywords, at)
    if isinstance(receiver, Instance):
        return _instance(run, frame, state, receiver, name, args, keywords, at)
    if isinstance(receiver, Parts):
        modes.switch_parts(run, frame, state, receiver, modes.asked_for(name, args, keywords), at)
        return calls.record_call(run, frame, f"Parts.{name}", receiver, args, keywords, receiver, at)
    if isinstance(receiver, (Collection, TupleValue)):
        return _collection(run, frame, state, receiver, name, args, keywords, at)
    if isinstance(receiver, Super):
        return _super(run, frame, state, receiver, name, args, keywords, at)
    if isinstance(receiver, ClassValue):
        return _of_class(run, frame, state, receiver, name, args, keywords, at)
    if isinstance(receiver, Unknown) and name in ("view", "flatten"):
        return shapes.arranged(run, state, receiver, name, args, keywords)
    result = _unknown(run, frame, state, name, args, keywords, at)
    if name == "detach" and receiver is UNKNOWN:
        return expressions.history_ends(frame, name, at)
    if result is UNKNOWN and receiver == PLAIN and (name in functions.SAME_TENSOR or all(map(is_plain, args))):
        return PLAIN
    return result


def _unknown(
    run: Run, frame: Frame, state: State, name: str, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    """A telling name on an unknown receiver: the gradients of everything may be touched."""
    calls.record_call(run, frame, f"Unknown.{name}", UNKNOWN, args, keywords, UNKNOWN, at)
    if name == "backward":
        if args and any(isinstance(arg, (Tensor, Unknown)) for arg in args):
            # An engine's: `accelerator.backward(loss)`.
            training.forget_all_gradients(state)
        training.backward(run, frame, state, UNKNOWN, "backward", at)
    elif name == "zero_grad":
        training.clear_unknown(run, frame, state, "module", at)
    elif name == "eval" and (args or keywords):
        # No Module's: it takes none.
        training.unknown_code(run, state, (*args, *(v for _, v in keywords)))
    elif name in (
        "train",
        "eval",
        "cpu",
        "cuda",
        "to",
        "parameters",
        "named_parameters",
        "detach",
        "item",
        "numpy",
    ):
        if name == "item":
            return Tensor(requires=False, python=True, open=False)
        if name in ("parameters", "named_parameters"):
            shape = "pairs" if name == "named_parameters" else "iterator"
            return iterators.made(frame, state, Parameters(NOTHING, True, shape=shape, site=frame.site(at)))
        if name in ("train", "eval"):
            modes.blur(run, state)
    elif name == "step":
        training.unknown_code(run, state, args)
    else:
        training.unknown_code(run, state, (*args, *(v for _, v in keywords)))
        if name in ("update", "fit", "training_step", "manual_backward", "run"):
            training.forget_all_gradients(state)
    return UNKNOWN


# -- tensors --


def _tensor(
    run: Run,
    frame: Frame,
    state: State,
    tensor: Tensor,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    result = _tensor_result(run, frame, state, tensor, name, args, keywords, at)
    result = activations.after_method(frame, tensor, name, args, keywords, result, at)
    result = shapes.after_method(run, state, tensor, name, args, keywords, result)
    return calls.record_call(run, frame, f"Tensor.{name}", tensor, args, keywords, result, at)


def _tensor_result(
    run: Run,
    frame: Frame,
    state: State,
    tensor: Tensor,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    if name.endswith("_"):
        for arg in args:
            expressions.use(run, arg)
    if name == "backward":
        if len(args) > 1:
            keywords = (*keywords, ("retain_graph", args[1]))
        training.backward(run, frame, state, tensor, "backward", at, keywords)
        return NONE
    if name in ("detach", "detach_"):
        return _as_tensor(expressions.cut(run, frame, tensor, "detach", at))._replace(open=False)
    if name in functions.LEAVES_TORCH:
        return expressions.cut(run, frame, tensor, name, at, python=True)
    if name in ("multinomial", "bernoulli"):
        return expressions.cut(run, frame, tensor, "sample", at)
    if name in functions.NON_DIFFERENTIABLE or name in functions.CASTS_TO_INTEGER or _casts(name, args, keywords):
        return expressions.cut(run, frame, tensor, name, at)
    if name in functions.STEPWISE:
        return expressions.flattened(run, frame, tensor, name, at)
    if name == "requires_grad_":
        run.frozen |= tensor.sources
        on = args[0] if args else dict(keywords).get("requires_grad", Const(True))
        if isinstance(on, Const) and bool(on.value) and not tensor.sources:
            leaf = _as_leaf(frame, tensor, at)
            in_place.put(state, tensor, leaf)
            return leaf
        return tensor if isinstance(on, Const) and on.value else tensor._replace(requires=None)
    if name in ("cuda", "to", "cpu", "float", "double", "half", "bfloat16", "type", "contiguous"):
        # The same tensor where nothing changes, else a copy that is no leaf any more.
        return tensor._replace(parameter=None, leaf=None, needed=False)
    if name in ("retain_grad", "pin_memory"):
        return tensor
    if name in ("size", "dim", "numel", "nelement", "is_contiguous", "register_hook", "element_size"):
        return PLAIN
    if name in ("new_zeros", "new_ones", "new_tensor", "new_full", "new_empty"):
        return Tensor(requires=False, data=True)
    if name in ("split", "chunk", "unbind", "topk", "max", "min", "sort"):
        return tensor._replace(parameter=None, leaf=None, made_by=f"Tensor.{name}", needed=False)
    operands = tuple([arg for arg in args if isinstance(arg, (Tensor, Unknown))])
    if in_place.is_method(name):
        return in_place.change(run, frame, state, tensor, operands, f"Tensor.{name}", at)
    result = combine([tensor, *operands], f"Tensor.{name}")
    return training.under_grad_mode(run, state, result)


def _as_leaf(frame: Frame, tensor: Tensor, at: int) -> Tensor:
    """A tensor that is computed from nothing with a gradient, and whose own is asked for."""
    leaf = Obj(frame.site(at), frame.calls, "leaf")
    return tensor._replace(requires=True, leaf=frame.site(at), parameter=leaf, sources=frozenset((leaf,)), open=False)


def _casts(name: str, args: tuple[Value, ...], keywords: Keywords) -> bool:
    """`x.to(torch.long)`, `x.type(torch.LongTensor)`: to integers."""
    given = (*args, *(value for _, value in keywords))
    return name in ("to", "type") and any(isinstance(arg, Ref) and arg.name in functions.INTEGERS for arg in given)


def _as_tensor(value: Value) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(open=True)


def store_on_tensor(
    run: Run, frame: Frame, state: State, tensor: Tensor | Parameters, name: str, value: Value, at: int
) -> None:
    """`tensor.name = value`: gradients set by hand, flags, data."""
    if name == "grad":
        if value == NONE and isinstance(tensor, Parameters):
            training.clear_parameters(run, frame, state, tensor, "hand", at)
        elif value == NONE and isinstance(tensor, Tensor):
            some = Parameters(tensor.sources, tensor.open, partial=True)
            training.clear_parameters(run, frame, state, some, "hand", at)
        else:
            _gradients_written(run, state, tensor)
    elif name == "requires_grad":
        run.frozen |= tensor.sources
        if value == Const(True) and isinstance(tensor, Tensor) and not tensor.sources and not tensor.open:
            in_place.put(state, tensor, _as_leaf(frame, tensor, at))
    elif name == "data" and isinstance(tensor, Tensor):
        run.loaded |= tensor.sources
    elif name == "data" and isinstance(tensor, Parameters):
        if tensor.shape == "gradient":
            _gradients_written(run, state, tensor)
        else:
            training.hand_update(run, frame, state, tensor._replace(shape="data"), "data", (value,), at)


def _gradients_written(run: Run, state: State, tensor: Tensor | Parameters) -> None:
    for optimizer in state.gradients:
        held = run.holdings.get(optimizer)
        if held is None or held.open or tensor.open or held.sources & tensor.sources:
            state.gradients[optimizer] = UNKNOWN_GRADIENTS


# -- parameters --


_CLEARING = frozenset({"zero_", "detach_"})


def _parameters(
    run: Run,
    frame: Frame,
    state: State,
    parameters: Parameters,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    calls.record_call(run, frame, f"Parameters.{name}", parameters, args, keywords, UNKNOWN, at)
    for arg in args:
        expressions.use(run, arg)
    if parameters.shape == "gradient":
        zero_factor = name == "mul_" and args and isinstance(args[0], Const) and args[0].value == 0
        zero_fill = name == "fill_" and args and isinstance(args[0], Const) and args[0].value == 0
        if name == "zero_" or zero_factor or zero_fill:
            training.clear_parameters(run, frame, state, parameters, "hand", at)
        elif name in ("copy_", "add_", "sub_", "set_"):
            _gradients_written(run, state, parameters)
        return (
            parameters._replace()
            if name in ("detach_", "detach", "view", "clone")
            else Tensor(requires=False, open=True)
        )
    if parameters.shape in ("element", "data"):
        if name == "requires_grad_":
            run.frozen |= parameters.sources
        if name.endswith("_") and name not in ("requires_grad_", "detach_"):
            if parameters.shape == "element":
                in_place.change(run, frame, state, parameters, args, f"Tensor.{name}", at)
            training.hand_update(run, frame, state, parameters, name, args, at)
            return parameters
        if name in ("detach", "clone", "cpu", "cuda", "to"):
            return Tensor(requires=False if name == "detach" else None, open=True)
        if name in ("numel", "size", "dim", "nelement", "item"):
            return UNKNOWN
        return Tensor(parameters.sources, requires=True, open=parameters.open)
    if parameters.shape == "list" and name in ("append", "extend", "insert") and args:
        _add_to_list(run, state, parameters, args[-1])
    return UNKNOWN


def _add_to_list(run: Run, state: State, parameters: Parameters, added: Value) -> None:
    """`params.append(p)`: every variable that holds the list holds one more from here on."""
    held = training.holdings_of(run, state, added)
    longer = parameters._replace(
        sources=parameters.sources | held.sources,
        open=parameters.open or held.open,
        whole=parameters.whole | held.whole,
        of=None,
    )
    for number, names in list(state.frames.items()):
        if any(value is parameters for value in names.values()):
            state.frames[number] = {n: longer if v is parameters else v for n, v in names.items()}


# -- objects by kind --


def external_attribute(run: Run, frame: Frame, state: State, instance: Instance, name: str, at: int) -> Value:
    """An attribute that the object's class from outside the user's files gives it."""
    if instance.kind in (Kind.MODULE, Kind.LIGHTNING):
        return _module_attribute(run, frame, state, instance, name)
    if instance.kind is Kind.OPTIMIZER and name == "param_groups":
        held = run.holdings.get(instance.obj)
        sources = held.sources if held is not None else NOTHING
        group = Obj(instance.obj.site, instance.obj.calls, "group")
        whole = instance.obj if held is not None and len(held.groups) == 1 else None
        params = Parameters(sources, held is None or held.open, shape="list", of=whole)
        state.heap[group] = {ITEMS: Items((params,), UNKNOWN, ("params",))}
        groups = Obj(instance.obj.site, instance.obj.calls, "groups")
        state.heap[groups] = {ITEMS: Items(None, Collection(group, "dict"))}
        return Collection(groups, "list")
    if instance.kind is Kind.OPTIMIZER and name == "defaults":
        defaults = Obj(instance.obj.site, instance.obj.calls, "defaults")
        state.heap[defaults] = {ITEMS: Items(None, UNKNOWN)}
        return Collection(defaults, "dict")
    if instance.kind is Kind.DISTRIBUTION and (statistic := distributions.attribute(state, instance, name)) is not None:
        return statistic
    return UNKNOWN if instance.kind is Kind.OTHER else Method(instance, name)


_MODULE_METHODS = frozenset(
    """parameters named_parameters children named_children modules named_modules buffers named_buffers train eval to
    cuda cpu half float double bfloat16 type state_dict load_state_dict zero_grad requires_grad_ apply register_buffer
    register_parameter add_module register_module register_forward_hook register_forward_pre_hook
    register_full_backward_hook share_memory extra_repr get_submodule forward compile xpu to_empty get_parameter
    append extend insert items keys values pop update __init__ __call__ no_sync save_pretrained""".split()
)

_LIGHTNING_METHODS = frozenset(
    """log log_dict save_hyperparameters optimizers lr_schedulers manual_backward toggle_optimizer untoggle_optimizer
    print all_gather clip_gradients backward optimizer_step optimizer_zero_grad freeze unfreeze toggled_optimizer
    configure_gradient_clipping lr_scheduler_step configure_optimizers training_step validation_step on_fit_start
    to_onnx to_torchscript load_from_checkpoint""".split()
)
_LIGHTNING_PROPERTIES = frozenset(
    """trainer logger loggers device dtype hparams current_epoch global_step global_rank local_rank fabric
    strict_loading example_input_array automatic_optimization on_gpu""".split()
)


def _module_attribute(run: Run, frame: Frame, state: State, instance: Instance, name: str) -> Value:
    if name in _MODULE_METHODS:
        return Method(instance, name)
    if instance.kind is Kind.LIGHTNING:
        if name in _LIGHTNING_METHODS:
            return Method(instance, name)
        if name in _LIGHTNING_PROPERTIES:
            return UNKNOWN
    if name == "training":
        run.modes_read.add(instance.obj)
    if name in ("training", "__dict__", "dump_patches"):
        return UNKNOWN
    if isinstance(instance.type, Ref):
        cls = instance.type.name
        if cls in classes.WRAPPERS:
            return UNKNOWN
        if cls in classes.AVERAGES and name == "update_parameters":
            return Method(instance, name)
        if classes.is_layer(cls):
            if name in ("weight", "bias") or name.startswith(("weight_", "bias_", "in_proj", "out_proj")):
                return Tensor(frozenset((instance.obj,)), requires=True, parameter=instance.obj)
            # A loss has no `backward`: it is taken for what it gives.
            return Method(instance, name) if name == "backward" and classes.is_loss(cls) else UNKNOWN
        return _part(state, instance, name)
    order, _ = class_lookup.mro(run, instance.type)
    for each in order:
        if isinstance(each, Ref) and classes.is_layer(each.name) and name in ("weight", "bias"):
            return Tensor(frozenset((instance.obj,)), requires=True, parameter=instance.obj)
    expressions.note_half_typed(run, frame, name, -1)
    return UNKNOWN


def _part(state: State, network: Instance, name: str) -> Instance:
    """A part of a network from a library: an object of its own, so that it can be replaced and held apart."""
    obj = Obj(network.obj.site, network.obj.calls, f"{network.obj.part}.{name}")
    part = Instance(obj, Ref(objects.PART), Kind.MODULE)
    state.set_attribute(network.obj, name, part)
    state.heap.setdefault(obj, {})
    return part


CHILDREN = "[children]"
"""The attribute of a network from a library that holds what stands for its layers, whichever."""


def _children(run: Run, frame: Frame, state: State, module: Instance, at: int) -> Value:
    """`module.children()`; of a network from a library it isn't known which they are, but whose."""
    held = state.attributes(module.obj).get(ITEMS)
    if isinstance(held, Items):
        exact = held.exact is not None
        return containers.make_collection(run, frame, state, "list", list(held.exact or (held.element,)), exact, at)
    if not isinstance(module.type, Ref) or state.is_open(module.obj) or _is_wrapper_or_layer(module.type.name):
        return UNKNOWN
    known = state.attribute(module.obj, CHILDREN)
    child = known if known is not None else objects.several(state, _part(state, module, CHILDREN))
    return containers.make_collection(run, frame, state, "list", [child], False, at)


def _is_wrapper_or_layer(name: str) -> bool:
    return name in classes.WRAPPERS or name in classes.AVERAGES or classes.is_layer(name)


def _instance(
    run: Run,
    frame: Frame,
    state: State,
    instance: Instance,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    handler = {
        Kind.MODULE: _module,
        Kind.LIGHTNING: _module,
        Kind.OPTIMIZER: _optimizer,
        Kind.SCALER: _scaler,
        Kind.SCHEDULER: _scheduler,
        Kind.ENGINE: _engine,
        Kind.DISTRIBUTION: _distribution,
    }.get(instance.kind)
    if handler is None:
        training.unknown_code(run, state, (*args, *(v for _, v in keywords), instance))
        return training.result_of_unknown(args)
    result = handler(run, frame, state, instance, name, args, keywords, at)
    word = "Lightning" if instance.kind is Kind.LIGHTNING else instance.kind.value.capitalize()
    return calls.record_call(run, frame, f"{word}.{name}", instance, args, keywords, result, at)


def _module(
    run: Run,
    frame: Frame,
    state: State,
    module: Instance,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    if name in ("parameters", "named_parameters"):
        sources, is_open = composition.parameter_sources(run, state, module)
        whole = frozenset(composition.modules_below(run, state, module)) if not is_open else frozenset((module.obj,))
        shape = "pairs" if name == "named_parameters" else "iterator"
        partial = objects.SLICED in state.attributes(module.obj)
        made = Parameters(sources, is_open, NOTHING if partial else whole, shape, partial, frame.site(at))
        made = made if partial else made._replace(of=module.obj)
        return iterators.made(frame, state, made)
    if name in ("train", "eval"):
        modes.switch(run, frame, state, module, modes.asked_for(name, args, keywords), at)
        return module
    if name in (
        "to",
        "cuda",
        "cpu",
        "half",
        "float",
        "double",
        "bfloat16",
        "requires_grad_",
        "apply",
    ):
        if name == "requires_grad_":
            _freeze(run, state, module, args, keywords)
        if name == "apply" and args and isinstance(args[0], FunctionValue) and modes.may_switch(args[0].code):
            calls.invoke(run, frame, state, args[0], (Parts(module, "element"),), (), at)
        return module
    if name in ("share_memory", "xpu", "type", "to_empty"):
        return module
    if name == "zero_grad":
        sources, is_open = composition.parameter_sources(run, state, module)
        every = Parameters(sources, is_open, of=module.obj)
        training.clear_parameters(run, frame, state, every, "module", at)
        return NONE
    if name in ("modules", "named_modules"):
        return Parts(module, "iterator" if name == "modules" else "pairs")
    if name in ("children", "values"):
        return _children(run, frame, state, module, at)
    if name in ("add_module", "register_module", "register_parameter") and len(args) == 2:
        key = args[0].value if isinstance(args[0], Const) else None
        if isinstance(key, str):
            state.set_attribute(module.obj, key, args[1])
        else:
            old = state.attribute(module.obj, "[added]")
            state.set_attribute(module.obj, "[added]", join(old, args[1]) if old is not None else args[1])
        return NONE
    if name == "register_buffer" and len(args) >= 2:
        if isinstance(args[0], Const) and isinstance(args[0].value, str):
            value = args[1]
            state.set_attribute(module.obj, args[0].value, value)
        return NONE
    if name in ("append", "extend", "insert") and isinstance(module.type, Ref):
        container = Collection(module.obj, "list")
        if name == "append" and args:
            containers.append(state, container, args[0], not frame.rounds)
        elif name == "extend" and args:
            containers.extend(run, state, container, args[0])
        else:
            state.set_attribute(module.obj, OPEN, True)
        return module
    if name == "forward":
        if isinstance(module.type, Ref) and module.type.name in classes.WRAPPERS:
            # What a wrapper does is all in its `forward`: it is as good as a call.
            return calls.call_instance(run, frame, state, module, args, keywords, at)
        return calls.forward_of(run, frame, state, module, args, keywords, at)
    if name in ("items", "keys") and isinstance(module.type, Ref):
        return UNKNOWN
    if name == "load_state_dict":
        sources, _ = composition.parameter_sources(run, state, module)
        run.loaded |= sources
        if dict(keywords).get("assign") == Const(True):
            training.replaced(run, frame, state, "load_state_dict", sources, NOTHING, at)
    if name == "update_parameters" and class_lookup.external_class(module, run) in classes.AVERAGES:
        run.loaded |= composition.parameter_sources(run, state, module)[0]
        return NONE
    if name == CLOSURE:
        # It runs `training_step`, clears, and computes the gradients of whatever Lightning's optimizer holds.
        for optimizer, states in list(state.gradients.items()):
            state.gradients[optimizer] = after_backward(states, frame.site(at), certain=True)
        return UNKNOWN
    if module.kind is Kind.LIGHTNING and name in _LIGHTNING_METHODS:
        return _lightning(run, frame, state, module, name, args, keywords, at)
    if name == "state_dict":
        return Partial(Ref(STATE_DICT), (module,), ())
    if name in _MODULE_METHODS:
        return UNKNOWN
    training.unknown_code(run, state, (*args, *(v for _, v in keywords), module))
    return training.result_of_unknown((*args, Tensor(open=True)))


STATE_DICT = "torch.nn.Module.state_dict"
"""The function of the `Partial` that stands for a Module's state."""
FROZEN = "[frozen]"


def _freeze(run: Run, state: State, module: Instance, args: tuple[Value, ...], keywords: Keywords) -> None:
    on = args[0] if args else dict(keywords).get("requires_grad", Const(True))
    frozen = isinstance(on, Const) and not on.value
    run.frozen |= composition.parameter_sources(run, state, module)[0]
    for obj in composition.modules_below(run, state, module):
        state.set_attribute(obj, FROZEN, Const(frozen) if isinstance(on, Const) else UNKNOWN)


OPTIMIZERS = "[optimizers]"
CLOSURE = "[closure]"
"""The method that stands for the closure which Lightning gives to `optimizer_step`."""


def some_optimizer(module: Instance) -> Instance:
    """The optimizer of a Lightning module whose `configure_optimizers` can't tell which."""
    obj = Obj(module.obj.site, module.obj.calls, "optimizers()")
    return Instance(obj, Ref("torch.optim.Optimizer"), Kind.OPTIMIZER)


def _lightning(
    run: Run,
    frame: Frame,
    state: State,
    module: Instance,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    if name == "manual_backward" or (name == "backward" and args):
        training.backward(run, frame, state, args[0] if args else UNKNOWN, name, at, keywords)
        return NONE
    if name == "optimizers":
        configured = state.attribute(module.obj, OPTIMIZERS)
        if configured is not None:
            return configured
        optimizer = some_optimizer(module)
        training.adopt_optimizer(run, state, optimizer)
        return Choice((optimizer, UNKNOWN))
    if name == "toggle_optimizer":
        for option in options_of(args[0]) if args else ():
            if isinstance(option, Instance):
                state.toggled[option.obj] = frame.site(at)
    elif name == "untoggle_optimizer":
        for option in options_of(args[0]) if args else ():
            if isinstance(option, Instance):
                state.toggled.pop(option.obj, None)
            elif isinstance(option, Unknown):
                state.toggled.clear()
    elif name == "toggled_optimizer":
        return Partial(Ref("lightning.toggled_optimizer"), args, keywords)
    elif name in ("freeze", "unfreeze"):
        _freeze(run, state, module, (Const(name == "unfreeze"),), ())
    elif name == "clip_gradients" and args:
        for option in options_of(args[0]):
            held = run.holdings.get(option.obj) if isinstance(option, Instance) else None
            if held is not None:
                training.clip(run, frame, state, Parameters(held.sources, held.open), at)
    return UNKNOWN


def _optimizer(
    run: Run,
    frame: Frame,
    state: State,
    optimizer: Instance,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    training.adopt_optimizer(run, state, optimizer)
    if name == "step":
        return training.step(run, frame, state, optimizer, training.closure_given(args, keywords), at)
    if name == "zero_grad":
        training.clear_optimizer(run, frame, state, optimizer.obj, at)
        return NONE
    if name == "add_param_group" and args:
        training.add_group(run, state, optimizer, args[0])
        return NONE
    if name == "state_dict":
        return _state_dict(frame, state, at)
    if name in ("load_state_dict", "train", "eval", "register_step_post_hook", "__repr__"):
        return UNKNOWN
    if name == "param_groups":
        return UNKNOWN
    if name == "toggle_model":
        return Partial(Ref("lightning.toggled_optimizer"), args, keywords)
    training.unknown_code(run, state, (*args, optimizer))
    return UNKNOWN


def _state_dict(frame: Frame, state: State, at: int) -> Value:
    """What `optimizer.state_dict()` gives: its parameter groups are copies of the optimizer's."""
    group = objects.allocate(frame, at, "copied group")
    state.heap[group] = {ITEMS: Items(None, UNKNOWN)}
    groups = objects.allocate(frame, at, "copied groups")
    state.heap[groups] = {ITEMS: Items(None, Collection(group, "dict"))}
    whole = objects.allocate(frame, at, "state dict")
    state.heap[whole] = {ITEMS: Items((UNKNOWN, Collection(groups, "list")), UNKNOWN, ("state", "param_groups"))}
    return Collection(whole, "dict")


def _scaler(
    run: Run,
    frame: Frame,
    state: State,
    scaler: Instance,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    if name == "scale" and args:
        value = args[0]
        if state.attribute(scaler.obj, "[enabled]") == Const(False):
            return value
        if value is UNKNOWN:
            return Tensor(requires=None, open=True, scaler=scaler.obj)
        return value._replace(scaler=scaler.obj) if isinstance(value, Tensor) else value
    if name == "update":
        training.scaler_call(run, frame, state, scaler, name, None, at)
    elif name == "step" and args:
        for option in options_of(args[0]):
            if isinstance(option, Instance) and option.kind is Kind.OPTIMIZER:
                training.scaler_call(run, frame, state, scaler, name, option.obj, at)
                training.step(run, frame, state, option, training.closure_given(args[1:], keywords), at, scaler.obj)
        return UNKNOWN
    elif name == "unscale_" and args:
        for option in options_of(args[0]):
            if isinstance(option, Instance):
                training.scaler_call(run, frame, state, scaler, name, option.obj, at)
                state.scaled.pop(option.obj, None)
    return UNKNOWN


def _scheduler(
    run: Run,
    frame: Frame,
    state: State,
    scheduler: Instance,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    if name == "step":
        held = state.attribute(scheduler.obj, "optimizer")
        driven = frozenset(
            option.obj
            for option in options_of(held if held is not None else UNKNOWN)
            if isinstance(option, Instance) and option.kind is Kind.OPTIMIZER
        )
        run.record(SchedulerStep(frame.site(at), run.context(frame), scheduler, driven, args), frame)
    return UNKNOWN


def _distribution(
    run: Run,
    frame: Frame,
    state: State,
    distribution: Instance,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    return distributions.call(run, frame, state, distribution, name, (*args, *(value for _, value in keywords)), at)


def _engine(
    run: Run,
    frame: Frame,
    state: State,
    engine: Instance,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    """Fabric, Accelerator, Trainer: they run or wrap the training; what they touch is theirs."""
    if name in ("prepare", "setup", "setup_module", "prepare_model"):
        for value in args:
            for option in options_of(value):
                if isinstance(option, Instance) and option.kind is Kind.OPTIMIZER:
                    state.gradients[option.obj] = UNKNOWN_GRADIENTS
                    state.set_attribute(option.obj, OPEN, True)
        return args[0] if len(args) == 1 else TupleValue(args)
    if name == "backward" and args:
        training.backward(run, frame, state, args[0], "engine", at, keywords)
        training.forget_all_gradients(state)
        return NONE
    training.unknown_code(run, state, (*args, *(v for _, v in keywords)))
    return UNKNOWN


# -- containers --


def _collection(
    run: Run,
    frame: Frame,
    state: State,
    collection: Collection | TupleValue,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    for arg in args:
        expressions.use(run, arg)
    if isinstance(collection, TupleValue):
        return UNKNOWN
    if name == "append" and args:
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


# -- super() and classes --


def _super(
    run: Run,
    frame: Frame,
    state: State,
    receiver: Super,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    self_value = receiver.self_value
    calls.record_call(run, frame, f"super.{name}", self_value, args, keywords, UNKNOWN, at)
    if not isinstance(self_value, Instance) or name == "__init__":
        if isinstance(self_value, Instance) and self_value.kind is Kind.OPTIMIZER and name == "__init__" and args:
            training.adopt_optimizer(run, state, self_value)
        if isinstance(self_value, Instance) and self_value.kind is Kind.DISTRIBUTION:
            distributions.make(state, self_value, args, keywords)
        if isinstance(self_value, Instance) and _is_container_class(run, self_value):
            _fill_container(run, state, self_value, args)
        return NONE
    if self_value.kind is Kind.OTHER:
        return UNKNOWN
    if name == "forward":
        return calls.layer_result(run, frame, state, self_value, args, at)
    if name in ("optimizer_step", "backward") and self_value.kind is Kind.LIGHTNING:
        training.forget_all_gradients(state)
        return NONE
    return _instance(run, frame, state, self_value, name, args, keywords, at)


def _is_container_class(run: Run, instance: Instance) -> bool:
    return classes.is_container(class_lookup.external_class(instance, run))


def _fill_container(run: Run, state: State, instance: Instance, args: tuple[Value, ...]) -> None:
    sole = containers.exact_items(run, state, args[0]) if len(args) == 1 and not isinstance(args[0], Instance) else None
    exact = sole if sole is not None else args
    state.set_attribute(instance.obj, ITEMS, Items(tuple(exact), objects.join_values(exact)))


def _of_class(
    run: Run,
    frame: Frame,
    state: State,
    cls: ClassValue,
    name: str,
    args: tuple[Value, ...],
    keywords: Keywords,
    at: int,
) -> Value:
    """`Net.load_from_checkpoint(...)`, `Function.apply(...)`: made by what the class inherits."""
    if name == "__init__" and args:
        return NONE
    if name == "apply":
        result = combine([*args, UNKNOWN])
        return calls.record_call(run, frame, "Function.apply", cls, args, keywords, result, at)
    kind, _ = class_lookup.kind_of_class(run, cls)
    if kind in (Kind.MODULE, Kind.LIGHTNING) and name in ("load_from_checkpoint", "from_pretrained"):
        instance = Instance(objects.allocate(frame, at), cls, kind)
        state.heap[instance.obj] = {OPEN: True}
        return instance
    training.unknown_code(run, state, (*args, *(v for _, v in keywords)))
    return UNKNOWN
