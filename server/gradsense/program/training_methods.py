"""Methods of what trains: optimizers, gradient scalers, schedulers, and engines that wrap them."""

from __future__ import annotations

from gradsense.program import (
    objects,
    training,
)
from gradsense.program.facts import SchedulerStep
from gradsense.program.invocation import Invocation
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, OPEN, UNKNOWN_GRADIENTS, State
from gradsense.program.values import (
    NONE,
    NOTHING,
    UNKNOWN,
    Collection,
    Const,
    Instance,
    Items,
    Kind,
    Method,
    Obj,
    Parameters,
    Partial,
    Ref,
    Tensor,
    TupleValue,
    Value,
    options_of,
)


def attribute(run: Run, state: State, optimizer: Instance, name: str) -> Value:
    """An attribute of an optimizer that torch's class gives it."""
    if name == "param_groups":
        held = run.holdings.get(optimizer.obj)
        sources = held.sources if held is not None else NOTHING
        group = Obj(optimizer.obj.site, optimizer.obj.calls, "group")
        whole = optimizer.obj if held is not None and len(held.groups) == 1 else None
        params = Parameters(sources, held is None or held.open, shape="list", of=whole)
        state.heap[group] = {ITEMS: Items((params,), UNKNOWN, ("params",))}
        groups = Obj(optimizer.obj.site, optimizer.obj.calls, "groups")
        state.heap[groups] = {ITEMS: Items(None, Collection(group, "dict"))}
        return Collection(groups, "list")
    if name == "defaults":
        defaults = Obj(optimizer.obj.site, optimizer.obj.calls, "defaults")
        state.heap[defaults] = {ITEMS: Items(None, UNKNOWN)}
        return Collection(defaults, "dict")
    return Method(optimizer, name)


def call_on_optimizer(call: Invocation, optimizer: Instance, name: str) -> Value:
    run, frame, state, args, keywords, at = call
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


def call_on_scaler(call: Invocation, scaler: Instance, name: str) -> Value:
    run, frame, state, args, keywords, at = call
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


def call_on_scheduler(call: Invocation, scheduler: Instance, name: str) -> Value:
    if name == "step":
        held = call.state.attribute(scheduler.obj, "optimizer")
        driven = frozenset(
            option.obj
            for option in options_of(held if held is not None else UNKNOWN)
            if isinstance(option, Instance) and option.kind is Kind.OPTIMIZER
        )
        step = SchedulerStep(call.site, call.run.context(call.frame), scheduler, driven, call.values)
        call.run.record(step, call.frame)
    return UNKNOWN


def call_on_engine(call: Invocation, engine: Instance, name: str) -> Value:
    """Fabric, Accelerator, Trainer: they run or wrap the training; what they touch is theirs."""
    run, frame, state, args, keywords, at = call
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
    training.unknown_code(run, state, call.values)
    return UNKNOWN
