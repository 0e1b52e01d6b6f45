"""Methods and attributes that are not the user's own, by what they are called on."""

from __future__ import annotations

from gradsense.program import (
    builtin_calls,
    calls,
    class_lookup,
    collection_methods,
    containers,
    distributions,
    expressions,
    iterators,
    modes,
    module_methods,
    objects,
    shapes,
    tensor_methods,
    training,
    training_methods,
)
from gradsense.program.invocation import Invocation
from gradsense.program.knowledge import classes, functions
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, OPEN, State
from gradsense.program.values import (
    NONE,
    NOTHING,
    PLAIN,
    UNKNOWN,
    ClassValue,
    Collection,
    Instance,
    Items,
    Kind,
    Method,
    Parameters,
    Parts,
    Super,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    combine,
    is_plain,
)


def call_method(call: Invocation, method: Method) -> Value:
    """Call a method that is not the user's own."""
    receiver, name = method.receiver, method.name
    if isinstance(receiver, Tensor):
        return tensor_methods.call_on_tensor(call, receiver, name)
    if isinstance(receiver, Parameters):
        return tensor_methods.call_on_parameters(call, receiver, name)
    if isinstance(receiver, Instance):
        if name == "__setattr__" and len(call.args) == 2:
            return builtin_calls.set_attribute(call, receiver, *call.args)
        return _instance(call, receiver, name)
    if isinstance(receiver, Parts):
        asked = modes.asked_for(name, call.args, call.keywords)
        modes.switch_parts(call.run, call.frame, call.state, receiver, asked, call.at)
        return call.record(f"Parts.{name}", receiver, receiver)
    if isinstance(receiver, (Collection, TupleValue)):
        return collection_methods.call_on_collection(call, receiver, name)
    if isinstance(receiver, Super):
        return _super(call, receiver, name)
    if isinstance(receiver, ClassValue):
        return _of_class(call, receiver, name)
    if isinstance(receiver, Unknown) and name in ("view", "flatten"):
        return shapes.arranged(call.run, call.state, receiver, name, call.args, call.keywords)
    result = _unknown(call, name)
    if name == "detach" and receiver is UNKNOWN:
        return expressions.history_ends(call.frame, name, call.at)
    if result is UNKNOWN and receiver == PLAIN and (name in functions.SAME_TENSOR or all(map(is_plain, call.args))):
        return PLAIN
    return result


def _unknown(call: Invocation, name: str) -> Value:
    """A telling name on an unknown receiver: the gradients of everything may be touched."""
    run, frame, state, args, keywords, at = call
    call.record(f"Unknown.{name}", UNKNOWN, UNKNOWN)
    if name == "backward":
        if args and any(isinstance(arg, (Tensor, Unknown)) for arg in args):
            # An engine's: `accelerator.backward(loss)`.
            training.forget_all_gradients(state)
        training.backward(run, frame, state, UNKNOWN, "backward", at)
    elif name == "zero_grad":
        training.clear_unknown(run, frame, state, "module", at)
    elif name == "eval" and (args or keywords):
        # No Module's: it takes none.
        training.unknown_code(run, state, call.values)
    elif name == "item":
        return Tensor(requires=False, python=True, open=False)
    elif name in ("parameters", "named_parameters"):
        shape = "pairs" if name == "named_parameters" else "iterator"
        return iterators.made(frame, state, Parameters(NOTHING, True, shape=shape, site=call.site))
    elif name in ("train", "eval"):
        modes.blur(run, state)
    elif name == "step":
        training.unknown_code(run, state, args)
    elif name not in ("cpu", "cuda", "to", "detach", "numpy"):
        training.unknown_code(run, state, call.values)
        if name in ("update", "fit", "training_step", "manual_backward", "run"):
            training.forget_all_gradients(state)
    return UNKNOWN


def external_attribute(run: Run, frame: Frame, state: State, instance: Instance, name: str, at: int) -> Value:
    """An attribute that the object's class from outside the user's files gives it."""
    if instance.kind in (Kind.MODULE, Kind.LIGHTNING):
        return module_methods.attribute(run, frame, state, instance, name)
    if instance.kind is Kind.OPTIMIZER:
        return training_methods.attribute(run, state, instance, name)
    if instance.kind is Kind.DISTRIBUTION and (statistic := distributions.attribute(state, instance, name)) is not None:
        return statistic
    return UNKNOWN if instance.kind is Kind.OTHER else Method(instance, name)


def _instance(call: Invocation, instance: Instance, name: str) -> Value:
    handler = {
        Kind.MODULE: module_methods.call_on_module,
        Kind.LIGHTNING: module_methods.call_on_module,
        Kind.OPTIMIZER: training_methods.call_on_optimizer,
        Kind.SCALER: training_methods.call_on_scaler,
        Kind.SCHEDULER: training_methods.call_on_scheduler,
        Kind.ENGINE: training_methods.call_on_engine,
        Kind.DISTRIBUTION: _distribution,
    }.get(instance.kind)
    if handler is None:
        training.unknown_code(call.run, call.state, (*call.values, instance))
        return training.result_of_unknown(call.args)
    result = handler(call, instance, name)
    word = "Lightning" if instance.kind is Kind.LIGHTNING else instance.kind.value.capitalize()
    return call.record(f"{word}.{name}", instance, result)


def _distribution(call: Invocation, distribution: Instance, name: str) -> Value:
    return distributions.call(call.run, call.frame, call.state, distribution, name, call.values, call.at)


# -- super() and classes --


def _super(call: Invocation, receiver: Super, name: str) -> Value:
    run, frame, state, args, keywords, at = call
    self_value = receiver.self_value
    call.record(f"super.{name}", self_value, UNKNOWN)
    if not isinstance(self_value, Instance) or name == "__init__":
        params = call.argument(0, "params") if name == "__init__" else None
        if isinstance(self_value, Instance) and self_value.kind is Kind.OPTIMIZER and params is not None:
            state.set_attribute(self_value.obj, training.PARAMS, params)
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
    return _instance(call, self_value, name)


def _is_container_class(run: Run, instance: Instance) -> bool:
    return classes.is_container(class_lookup.external_class(instance, run))


def _fill_container(run: Run, state: State, instance: Instance, args: tuple[Value, ...]) -> None:
    sole = containers.exact_items(run, state, args[0]) if len(args) == 1 and not isinstance(args[0], Instance) else None
    exact = sole if sole is not None else args
    state.set_attribute(instance.obj, ITEMS, Items(tuple(exact), objects.join_values(exact)))


def _of_class(call: Invocation, cls: ClassValue, name: str) -> Value:
    """`Net.load_from_checkpoint(...)`, `Function.apply(...)`: made by what the class inherits."""
    if name == "__init__" and call.args:
        return NONE
    if name == "apply":
        return call.record("Function.apply", cls, combine([*call.args, UNKNOWN]))
    kind, _ = class_lookup.kind_of_class(call.run, cls)
    if kind in (Kind.MODULE, Kind.LIGHTNING) and name in ("load_from_checkpoint", "from_pretrained"):
        instance = Instance(objects.allocate(call.frame, call.at), cls, kind)
        call.state.heap[instance.obj] = {OPEN: True}
        return instance
    training.unknown_code(call.run, call.state, call.values)
    return UNKNOWN
