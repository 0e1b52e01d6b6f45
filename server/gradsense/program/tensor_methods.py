"""Methods and attributes of tensors, and of the parameters that a Module or an optimizer gives out."""

from __future__ import annotations

from gradsense.program import (
    activations,
    expressions,
    in_place,
    marking,
    shapes,
    training,
)
from gradsense.program.invocation import Invocation
from gradsense.program.knowledge import functions
from gradsense.program.run import Frame, Run
from gradsense.program.state import UNKNOWN_GRADIENTS, State
from gradsense.program.values import (
    NONE,
    PLAIN,
    UNKNOWN,
    Const,
    Obj,
    Parameters,
    Ref,
    Tensor,
    Unknown,
    Value,
    combine,
)


def call_on_tensor(call: Invocation, tensor: Tensor, name: str) -> Value:
    run, frame, state, args, keywords, at = call
    result = _tensor_result(call, tensor, name)
    result = activations.after_method(frame, tensor, name, args, keywords, result, at)
    if name in functions.PICKS:
        result = marking.picked(frame, name, (tensor, *args), keywords, result, at)
    elif name in marking.MEASURES:
        result = marking.measured(result)
    elif name in marking.PRODUCTS and args:
        result = marking.squared((tensor, args[0]), result)
    result = shapes.after_method(run, state, tensor, name, args, keywords, result)
    return call.record(f"Tensor.{name}", tensor, result)


def _tensor_result(call: Invocation, tensor: Tensor, name: str) -> Value:
    run, frame, state, args, keywords, at = call
    if name.endswith("_"):
        for arg in args:
            expressions.use(run, arg)
    if name == "backward":
        if len(args) > 1:
            keywords = (*keywords, ("retain_graph", args[1]))
        training.backward(run, frame, state, tensor, "backward", at, keywords)
        return NONE
    if name in ("detach", "detach_"):
        cut = _as_tensor(expressions.cut(run, frame, tensor, "detach", at))._replace(open=False)
        if name == "detach_" and tensor.parameter is None:
            in_place.put_everywhere(state, tensor, cut)
        return cut
    if name in functions.LEAVES_TORCH:
        return expressions.cut(run, frame, tensor, name, at, python=True)
    if name in ("multinomial", "bernoulli"):
        return expressions.cut(run, frame, tensor, "sample", at)
    if name in functions.NON_DIFFERENTIABLE or name in functions.CASTS_TO_INTEGER or _casts(call, name):
        return expressions.cut(run, frame, tensor, name, at)
    if name in functions.STEPWISE:
        return expressions.flattened(run, frame, tensor, name, at)
    if name == "requires_grad_":
        run.frozen |= tensor.sources
        on = call.argument(0, "requires_grad") or Const(True)
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


def _casts(call: Invocation, name: str) -> bool:
    """`x.to(torch.long)`, `x.type(torch.LongTensor)`: to integers."""
    given = call.values if name in ("to", "type") else ()
    return any(isinstance(arg, Ref) and arg.name in functions.INTEGERS for arg in given)


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


def call_on_parameters(call: Invocation, parameters: Parameters, name: str) -> Value:
    run, frame, state, args, _, at = call
    call.record(f"Parameters.{name}", parameters, UNKNOWN)
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
