"""Methods and attributes that torch's `Module` and Lightning's modules give to what is derived from them."""

from __future__ import annotations

from gradsense.program import (
    calls,
    class_lookup,
    composition,
    containers,
    expressions,
    iterators,
    modes,
    objects,
    training,
)
from gradsense.program.knowledge import classes
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, OPEN, State, after_backward
from gradsense.program.values import (
    NONE,
    NOTHING,
    UNKNOWN,
    Choice,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Items,
    Keywords,
    Kind,
    Method,
    Obj,
    Parameters,
    Partial,
    Parts,
    Ref,
    Tensor,
    Unknown,
    Value,
    join,
    options_of,
)

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


def attribute(run: Run, frame: Frame, state: State, instance: Instance, name: str) -> Value:
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


def call_on_module(
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
