"""Methods and attributes that torch's `Module` and Lightning's modules give to what is derived from them."""

from __future__ import annotations

from collections.abc import Callable

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
from gradsense.program.invocation import Invocation
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
    append extend insert items keys values pop update __init__ __call__ __setattr__ no_sync save_pretrained""".split()
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
        if instance != frame.self_value:
            # Who keeps the mode of a network to put it back (`was_training = model.training`) gets the one it is in.
            return modes.kept(state, instance)
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


def call_on_module(call: Invocation, module: Instance, name: str) -> Value:
    """Call a method that a Module of torch or Lightning has."""
    told = _METHODS.get(name)
    result = told(call, module, name) if told is not None else None
    if result is None and module.kind is Kind.LIGHTNING and name in _LIGHTNING_METHODS:
        result = _lightning(call, module, name)
    if result is not None:
        return result
    if name in _MODULE_METHODS:
        return UNKNOWN
    training.unknown_code(call.run, call.state, (*call.values, module))
    return training.result_of_unknown((*call.args, Tensor(open=True)))


def _parameters(call: Invocation, module: Instance, name: str) -> Value:
    run, state = call.run, call.state
    sources, is_open = composition.parameter_sources(run, state, module)
    whole = frozenset(composition.modules_below(run, state, module)) if not is_open else frozenset((module.obj,))
    shape = "pairs" if name == "named_parameters" else "iterator"
    partial = objects.SLICED in state.attributes(module.obj)
    made = Parameters(sources, is_open, NOTHING if partial else whole, shape, partial, call.site)
    made = made if partial else made._replace(of=module.obj)
    return iterators.made(call.frame, state, made)


def _switch_mode(call: Invocation, module: Instance, name: str) -> Value:
    asked = modes.asked_for(name, call.args, call.keywords)
    modes.switch(call.run, call.frame, call.state, module, asked, call.at)
    return module


def _itself(call: Invocation, module: Instance, name: str) -> Value:
    return module


def _requires_grad(call: Invocation, module: Instance, name: str) -> Value:
    _freeze(call, module, call.argument(0, "requires_grad") or Const(True))
    return module


def _apply(call: Invocation, module: Instance, name: str) -> Value:
    function = call.args[0] if call.args else UNKNOWN
    if isinstance(function, FunctionValue) and modes.may_switch(function.code):
        calls.invoke(call.run, call.frame, call.state, function, (Parts(module, "element"),), (), call.at)
    return module


def _zero_grad(call: Invocation, module: Instance, name: str) -> Value:
    sources, is_open = composition.parameter_sources(call.run, call.state, module)
    every = Parameters(sources, is_open, of=module.obj)
    training.clear_parameters(call.run, call.frame, call.state, every, "module", call.at)
    return NONE


def _modules(call: Invocation, module: Instance, name: str) -> Value:
    return Parts(module, "iterator" if name == "modules" else "pairs")


def _children(call: Invocation, module: Instance, name: str) -> Value:
    """`module.children()`; of a network from a library it isn't known which they are, but whose."""
    run, frame, state, at = call.run, call.frame, call.state, call.at
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


def _add(call: Invocation, module: Instance, name: str) -> Value | None:
    """`add_module(name, module)`, `register_parameter(name, parameter)`."""
    if len(call.args) != 2:
        return None
    named, added = call.args
    key = named.value if isinstance(named, Const) else None
    if isinstance(key, str):
        call.state.set_attribute(module.obj, key, added)
    else:
        old = call.state.attribute(module.obj, "[added]")
        call.state.set_attribute(module.obj, "[added]", join(old, added) if old is not None else added)
    return NONE


def _register_buffer(call: Invocation, module: Instance, name: str) -> Value | None:
    if len(call.args) < 2:
        return None
    key = call.args[0]
    if isinstance(key, Const) and isinstance(key.value, str):
        call.state.set_attribute(module.obj, key.value, call.args[1])
    return NONE


def _grow(call: Invocation, module: Instance, name: str) -> Value | None:
    """`append`, `extend` and `insert` of a ModuleList or a Sequential."""
    if not isinstance(module.type, Ref):
        return None
    container = Collection(module.obj, "list")
    if name == "append" and call.args:
        containers.append(call.state, container, call.args[0], not call.frame.rounds)
    elif name == "extend" and call.args:
        containers.extend(call.run, call.state, container, call.args[0])
    else:
        call.state.set_attribute(module.obj, OPEN, True)
    return module


def _forward(call: Invocation, module: Instance, name: str) -> Value:
    # What a wrapper does is all in its `forward`: it is as good as a call.
    wraps = isinstance(module.type, Ref) and module.type.name in classes.WRAPPERS
    forward = calls.call_instance if wraps else calls.forward_of
    return forward(call.run, call.frame, call.state, module, call.args, call.keywords, call.at)


def _keys(call: Invocation, module: Instance, name: str) -> Value | None:
    return UNKNOWN if isinstance(module.type, Ref) else None


def _load_state_dict(call: Invocation, module: Instance, name: str) -> None:
    sources, _ = composition.parameter_sources(call.run, call.state, module)
    call.run.loaded |= sources
    if dict(call.keywords).get("assign") == Const(True):
        training.replaced(call.run, call.frame, call.state, "load_state_dict", sources, NOTHING, call.at)


def _update_parameters(call: Invocation, module: Instance, name: str) -> Value | None:
    if class_lookup.external_class(module, call.run) not in classes.AVERAGES:
        return None
    call.run.loaded |= composition.parameter_sources(call.run, call.state, module)[0]
    return NONE


def _closure(call: Invocation, module: Instance, name: str) -> Value:
    # It runs `training_step`, clears, and computes the gradients of whatever Lightning's optimizer holds.
    for optimizer, states in list(call.state.gradients.items()):
        call.state.gradients[optimizer] = after_backward(states, call.site, certain=True)
    return UNKNOWN


def _state_dict(call: Invocation, module: Instance, name: str) -> Value:
    return Partial(Ref(STATE_DICT), (module,), ())


STATE_DICT = "torch.nn.Module.state_dict"
"""The function of the `Partial` that stands for a Module's state."""


def state_is_changed(run: Run, frame: Frame, state: State, name: str, value: Value | None) -> None:
    """Something was put into what a variable holds (`weights.update(saved)`, `weights[key] = ...`): if that was a
    network's state, it is no longer the network's own.
    """
    if isinstance(value, Partial) and value.function == Ref(STATE_DICT):
        for number in (frame.number, *frame.closure.frames, run.module_frames.get(frame.file.path, frame.number)):
            if state.variable(number, name) is value:
                state.set_variable(number, name, UNKNOWN)


FROZEN = "[frozen]"


def _freeze(call: Invocation, module: Instance, on: Value) -> None:
    frozen = isinstance(on, Const) and not on.value
    call.run.frozen |= composition.parameter_sources(call.run, call.state, module)[0]
    for obj in composition.modules_below(call.run, call.state, module):
        call.state.set_attribute(obj, FROZEN, Const(frozen) if isinstance(on, Const) else UNKNOWN)


OPTIMIZERS = "[optimizers]"
CLOSURE = "[closure]"
"""The method that stands for the closure which Lightning gives to `optimizer_step`."""


def some_optimizer(module: Instance) -> Instance:
    """The optimizer of a Lightning module whose `configure_optimizers` can't tell which."""
    obj = Obj(module.obj.site, module.obj.calls, "optimizers()")
    return Instance(obj, Ref("torch.optim.Optimizer"), Kind.OPTIMIZER)


def _lightning(call: Invocation, module: Instance, name: str) -> Value:
    run, frame, state, at = call.run, call.frame, call.state, call.at
    first = call.argument(0, "loss" if name.endswith("backward") else "optimizer")
    options = options_of(first) if first is not None else ()
    if name == "manual_backward" or (name == "backward" and first is not None):
        training.backward(run, frame, state, UNKNOWN if first is None else first, name, at, call.keywords)
        return NONE
    if name == "optimizers":
        configured = state.attribute(module.obj, OPTIMIZERS)
        if configured is not None:
            return configured
        optimizer = some_optimizer(module)
        training.adopt_optimizer(run, state, optimizer)
        return Choice((optimizer, UNKNOWN))
    if name == "toggle_optimizer":
        for option in options:
            if isinstance(option, Instance):
                state.toggled[option.obj] = call.site
    elif name == "untoggle_optimizer":
        for option in options:
            if isinstance(option, Instance):
                state.toggled.pop(option.obj, None)
            elif isinstance(option, Unknown):
                state.toggled.clear()
    elif name == "toggled_optimizer":
        return Partial(Ref("lightning.toggled_optimizer"), call.args, call.keywords)
    elif name in ("freeze", "unfreeze"):
        _freeze(call, module, Const(name == "unfreeze"))
    elif name == "clip_gradients":
        for option in options:
            held = run.holdings.get(option.obj) if isinstance(option, Instance) else None
            if held is not None:
                training.clip(run, frame, state, Parameters(held.sources, held.open), at)
    return UNKNOWN


_MethodOfModule = Callable[[Invocation, Instance, str], "Value | None"]

_METHODS: dict[str, _MethodOfModule] = {
    **dict.fromkeys(("parameters", "named_parameters"), _parameters),
    **dict.fromkeys(("train", "eval"), _switch_mode),
    **dict.fromkeys("to cuda cpu half float double bfloat16 share_memory xpu type to_empty".split(), _itself),
    "requires_grad_": _requires_grad,
    "apply": _apply,
    "zero_grad": _zero_grad,
    **dict.fromkeys(("modules", "named_modules"), _modules),
    **dict.fromkeys(("children", "values"), _children),
    **dict.fromkeys(("add_module", "register_module", "register_parameter"), _add),
    "register_buffer": _register_buffer,
    **dict.fromkeys(("append", "extend", "insert"), _grow),
    "forward": _forward,
    **dict.fromkeys(("items", "keys"), _keys),
    "load_state_dict": _load_state_dict,
    "update_parameters": _update_parameters,
    CLOSURE: _closure,
    "state_dict": _state_dict,
}
"""What is called, by name; what gives None has nothing to tell, or nothing to add to what its arguments say."""
