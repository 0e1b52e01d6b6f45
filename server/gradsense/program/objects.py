"""Objects: how they are made, what their attributes are, and what an annotation says of them."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import replace

from gradsense.program import (
    activations,
    calls,
    class_lookup,
    expressions,
    ir,
    methods,
    modes,
    shapes,
    tensor_methods,
    training,
)
from gradsense.program.facts import Lost, Store
from gradsense.program.knowledge import classes, functions, spelling
from gradsense.program.run import Frame, Run
from gradsense.program.state import GIVEN, OPEN, State
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
    Kind,
    Member,
    Method,
    Obj,
    Parameters,
    Partial,
    Parts,
    Ref,
    Site,
    Super,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    join,
    options_of,
)

BUILTINS = frozenset(dir(builtins))
SLICED = "[sliced]"
"""The attribute of a container that holds a part of another's items."""
PART = "?part"
"""The class of a part of a network from a library: a Module as a rule, but it may be a parameter."""
SEVERAL = "[several]"
"""The attribute of an object that stands for many made by the same comprehension."""


def allocate(frame: Frame, at: int, part: str = "") -> Obj:
    return Obj(frame.site(at), frame.calls, part)


def numbered(site: Site, number: int) -> Site:
    """A call site of its own for each round of a comprehension that is unrolled."""
    return Site(site.where, -1 - number)


def several(state: State, instance: Instance) -> Instance:
    state.set_attribute(instance.obj, SEVERAL, True)
    return instance


def join_values(values: Sequence[Value]) -> Value:
    """The join of several values; UNKNOWN for none."""
    if not values:
        return UNKNOWN
    joined = values[0]
    for value in values[1:]:
        joined = join(joined, value)
    return joined


def _is_wrapper(value: Value) -> bool:
    return isinstance(value, Instance) and isinstance(value.type, Ref) and value.type.name in classes.WRAPPERS


def _has_own(run: Run, state: State, value: Value, name: str) -> bool:
    """Whether an object has an attribute that its class, or the program, has given it, or may have it."""
    if not isinstance(value, Instance) or not isinstance(value.type, ClassValue) or state.is_open(value.obj):
        return not isinstance(value, Instance) or not class_lookup.is_module(value)
    found, _ = class_lookup.find_member(run, value.type, name)
    return state.attribute(value.obj, name) is not None or found != "external"


def get_attribute(run: Run, frame: Frame, state: State, receiver: Value, name: str, at: int) -> Value:
    """`receiver.name`."""
    if isinstance(receiver, Unknown):
        return Method(receiver, name) if name in _TELLING else receiver
    if isinstance(receiver, Instance):
        return _instance_attribute(run, frame, state, receiver, name, at)
    if isinstance(receiver, Ref):
        if name in ("step", "zero_grad") or (name == "backward" and not receiver.name.endswith("autograd")):
            # `optimizer = torch.optim.Adam` without its arguments: still being typed.
            return Method(UNKNOWN, name)
        if spelling.is_half_typed(receiver.name, name):
            run.lost[frame.site(at)] = Lost(frame.site(at), "a name that torch doesn't have")
            return UNKNOWN
        return run.imports.attribute(run, frame, state, receiver, name)
    if isinstance(receiver, Choice):
        options = [option for option in receiver.options if option != NONE]
        if name == "module" and any(map(_is_wrapper, options)):
            # Of the others none has it: where it is asked for, there is a wrapper.
            options = [option for option in options if _is_wrapper(option) or _has_own(run, state, option, name)]
        return join_values([get_attribute(run, frame, state, option, name, at) for option in options])
    if isinstance(receiver, Tensor):
        return _tensor_attribute(run, frame, receiver, name, at)
    if isinstance(receiver, Parameters):
        if name == "grad":
            _note_reading(run, frame.site(at), receiver.sources)
        return _parameters_attribute(receiver, name)
    if isinstance(receiver, ClassValue):
        found, value = class_lookup.find_member(run, receiver, name)
        if found == "found":
            if isinstance(value, FunctionValue) and "builtins.classmethod" in value.decorators:
                return replace(value, self_value=receiver)
            if class_lookup.is_enumeration(run, receiver) and not isinstance(value, (FunctionValue, ClassValue)):
                return Const(Member(receiver.code.where, name, value))
            return value
        return Method(receiver, name) if found == "external" else UNKNOWN
    if isinstance(receiver, Super):
        return _super_attribute(run, frame, state, receiver, name, at)
    if isinstance(receiver, TupleValue) and name in receiver.fields:
        return receiver.items[receiver.fields.index(name)]
    if isinstance(receiver, (Collection, TupleValue)):
        return Method(receiver, name)
    if isinstance(receiver, Parts) and receiver.shape == "element" and name in ("train", "eval"):
        return Method(receiver, name)
    if isinstance(receiver, Const) and isinstance(receiver.value, Member):
        member = receiver.value
        return member.value if name == "value" else Const(member.name) if name == "name" else UNKNOWN
    if isinstance(receiver, Const) and isinstance(receiver.value, str):
        return Ref(f"builtins.str.{name}")
    if isinstance(receiver, FunctionValue):
        if name == "__self__" and receiver.self_value is not None:
            return receiver.self_value
        if name in ("getter", "setter", "deleter"):
            return Method(receiver, name)
    return Method(UNKNOWN, name) if name in _TELLING else UNKNOWN


_TELLING = frozenset(
    """backward step zero_grad parameters named_parameters detach item numpy tolist data grad eval train update
    manual_backward cpu cuda to fit training_step run view flatten""".split()
)
"""Names that mean something even on an unknown receiver."""


def _instance_attribute(run: Run, frame: Frame, state: State, instance: Instance, name: str, at: int) -> Value:
    held = state.attribute(instance.obj, name)
    if held is not None:
        return held
    if name == "__class__":
        return instance.type
    found, value = class_lookup.find_member(run, instance.type, name)
    if found == "found":
        if isinstance(value, FunctionValue):
            if "builtins.staticmethod" in value.decorators:
                return value
            if "builtins.classmethod" in value.decorators:
                return replace(value, self_value=instance.type)
            bound = replace(value, self_value=instance)
            if any(map(_makes_a_property, value.decorators)):
                return calls.invoke(run, frame, state, bound, (), (), at)
            return bound
        return value
    is_flag = name == "training" and instance.kind in (Kind.MODULE, Kind.LIGHTNING)
    if not is_flag and (found == "unknown" or state.is_open(instance.obj)):
        return Method(instance, name) if instance.kind is not Kind.OTHER else UNKNOWN
    return methods.external_attribute(run, frame, state, instance, name, at)


def _makes_a_property(decorator: str) -> bool:
    """By its name: `property`, and what is made after it, as `functools.cached_property`, `lazy_property` of torch."""
    return decorator.endswith("property") or decorator in ("?.getter", "torch.jit.unused")


def _super_attribute(run: Run, frame: Frame, state: State, receiver: Super, name: str, at: int) -> Value:
    self_value = receiver.self_value
    if not isinstance(self_value, Instance):
        return UNKNOWN
    found, value = class_lookup.find_member(run, self_value.type, name, after=receiver.owner)
    if found == "found" and isinstance(value, FunctionValue):
        bound = replace(value, self_value=self_value)
        is_property = any(map(_makes_a_property, value.decorators))
        return calls.invoke(run, frame, state, bound, (), (), at) if is_property else bound
    if found == "external":
        return Method(receiver, name)
    return UNKNOWN


def _tensor_attribute(run: Run, frame: Frame, tensor: Tensor, name: str, at: int) -> Value:
    if name == "data" and tensor.made_by == functions.PACKED:
        return tensor._replace(made_by="")
    if name == "data":
        data = expressions.cut(run, frame, tensor, "data", at)
        return data._replace(activations=tensor.activations, shape=tensor.shape) if isinstance(data, Tensor) else data
    if name == "grad":
        _note_reading(run, frame.site(at), None if tensor.open else tensor.sources)
        if tensor.parameter is not None:
            return Parameters(frozenset((tensor.parameter,)), shape="gradient", site=frame.site(at))
        return UNKNOWN
    if name in ("shape", "device", "dtype", "ndim", "is_cuda", "names", "layout", "itemsize"):
        return PLAIN
    if name == "requires_grad":
        return UNKNOWN if tensor.requires is None else Const(tensor.requires)
    if name in ("T", "mT", "H"):
        return activations.transposed(shapes.transposed(tensor))
    if name in ("real", "imag"):
        return tensor
    if name == "values" and functions.gives_indices(tensor.made_by):
        return tensor
    if name == "indices" and functions.gives_indices(tensor.made_by):
        return expressions.cut(run, frame, tensor, "indices", at)
    return Method(tensor, name)


def field_of_output(output: Tensor, method: Method) -> Value:
    """`out.loss`, `out.logits`, of what a network from a library gives: that is an object whose fields are tensors, and
    takes part in all that its fields do.
    """
    by_library = "." in output.made_by and not output.made_by.startswith(("torch.", "Tensor."))
    if not by_library or method.name in functions.TENSOR_PROPERTIES:
        return method
    return output._replace(parameter=None, leaf=None, made_by="", needed=False, requires=None, open=True)


def _note_reading(run: Run, site: Site, of: frozenset[Obj] | None) -> None:
    """The program reads the gradient of some parameters; None if it can't be told of which."""
    before = run.gradients_read.get(site, NOTHING)
    run.gradients_read[site] = None if of is None or before is None else before | of


def _parameters_attribute(parameters: Parameters, name: str) -> Value:
    if parameters.shape in ("element", "gradient"):
        if name == "grad":
            return parameters._replace(shape="gradient")
        if name == "requires_grad":
            return parameters._replace(shape="requires")
        if name == "data":
            return parameters._replace(shape="data" if parameters.shape == "element" else "gradient")
        if name in ("shape", "device", "dtype", "ndim"):
            return UNKNOWN
    return Method(parameters, name)


def store_attribute(run: Run, frame: Frame, state: State, receiver: Value, name: str, value: Value, at: int) -> None:
    """`receiver.name = value`."""
    for option in options_of(receiver):
        if isinstance(option, Instance):
            old = state.attribute(option.obj, name)
            if old is None and not isinstance(option.type, ClassValue) and class_lookup.is_module(option):
                old = methods.external_attribute(run, frame, state, option, name, at)
            run.record(Store(frame.site(at), run.context(frame), option, name, value, old), frame)
            training.module_replaced(run, frame, state, old, value, at)
            if isinstance(old, Tensor) and old.parameter is not None and (frame.in_forward or frame.rounds):
                # Round after round its value is set, by an average say.
                run.loaded |= old.sources
            state.set_attribute(option.obj, name, value)
            if name == "training" and class_lookup.is_module(option):
                modes.set_by_hand(state, option, value)
        elif isinstance(option, (Tensor, Parameters)):
            run.record(Store(frame.site(at), run.context(frame), option, name, value, None), frame)
            tensor_methods.store_on_tensor(run, frame, state, option, name, value, at)
        elif isinstance(option, Ref) and option.name.startswith("file:"):
            number = run.module_frames.get(option.name.removeprefix("file:"))
            if number is not None:
                state.set_variable(number, name, value)
    expressions.use(run, value)


def value_of_annotation(run: Run, frame: Frame, state: State, annotation: ir.Expr, at: int, part: str = "") -> Value:
    """What a variable of an annotated type is; UNKNOWN if the annotation names nothing known."""
    if isinstance(annotation, ir.Constant) and isinstance(annotation.value, str):
        named = expressions.lookup(run, frame, state, annotation.value)
        return instance_of_class(run, frame, state, named, at, part) if named is not None else UNKNOWN
    if isinstance(annotation, ir.Operation) and annotation.op == "|":
        return UNKNOWN
    if isinstance(annotation, ir.Subscript):
        return UNKNOWN
    named = expressions.evaluate(run, frame, state, annotation)
    return instance_of_class(run, frame, state, named, at, part)


def instance_of_class(run: Run, frame: Frame, state: State, cls: Value, at: int, part: str) -> Value:
    """Some object of a class, made elsewhere; UNKNOWN if the class means nothing to training."""
    if isinstance(cls, Ref):
        if cls.name == "torch.Tensor":
            return Tensor(requires=None, open=True)
        if cls.name in ("builtins.int", "builtins.float", "builtins.bool", "builtins.str"):
            return UNKNOWN
        kind = classes.kind_of(cls.name)
        if kind in (Kind.OPTIMIZER, Kind.MODULE, Kind.LIGHTNING, Kind.SCALER, Kind.SCHEDULER, Kind.ENGINE):
            instance = Instance(Obj(frame.site(at), frame.calls, part or "annotated"), cls, kind)
            state.heap[instance.obj] = {OPEN: True, GIVEN: True}
            if kind is Kind.OPTIMIZER:
                training.adopt_optimizer(run, state, instance)
            return instance
    if isinstance(cls, ClassValue):
        kind, _ = class_lookup.kind_of_class(run, cls)
        if kind is not Kind.OTHER:
            instance = Instance(Obj(frame.site(at), frame.calls, part or "annotated"), cls, kind)
            state.heap[instance.obj] = {OPEN: True, GIVEN: True}
            if kind is Kind.OPTIMIZER:
                training.adopt_optimizer(run, state, instance)
            return instance
    return UNKNOWN


def grad_mode(value: Value) -> tuple[bool | None] | None:
    """What a context manager (`torch.no_grad()`) switches gradients to; None for other managers."""
    if isinstance(value, Partial) and isinstance(value.function, Ref) and value.function.name in functions.GRAD_MODES:
        mode = functions.GRAD_MODES[value.function.name]
        if value.function.name == "torch.set_grad_enabled" or (
            value.function.name == "torch.inference_mode" and value.args
        ):
            given = value.args[0] if value.args else UNKNOWN
            if not isinstance(given, Const):
                return (None,)
            mode = bool(given.value) if mode is None else not bool(given.value)
        return (mode,)
    return None
