"""Gradients against finite differences, in float64.

Of each `autograd.Function` of the user's that the model has called, `backward` is compared with what `forward` does to
its real inputs, along one direction, as `torch.autograd.gradcheck` does in its fast mode (which goes on to the whole
Jacobian where that fails), and then in some elements one by one. Of the loss, each parameter's
gradient is compared with the slope along one direction, for two sizes of step that must agree with each other: where
they don't, the loss has no slope there, and nothing is said.

Some gradients differ from the slope because somebody wants it: a straight-through estimator has one where the values
have none, a gradient reversal passes its values on. They are told apart.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .devices import softened
from .modes import told_of_operations
from .values import tensors_in, with_tensors
from .where import Places

_STEPS = (1e-5, 1e-6)
_MOST_ERROR = 1e-2
_CLOSE = 1e-4
"""Of one Function: beyond that its elements are looked at."""
_FLOOR = 1e-6
"""Of the largest slope of all: what is smaller than that is not compared."""
_MOST_FUNCTIONS = 6
_MOST_INPUTS = 1_000_000
"""Elements of a Function's inputs."""
_SAMPLES = 12
_SINGLE = frozenset(("float", "half", "bfloat16"))
_CUTS = frozenset(("detach", "detach_", "item", "tolist", "numpy", "__float__", "__array__", "__int__", "data"))
_NO_VALUES = frozenset(("grad", "requires_grad", "shape", "dtype", "device", "is_meta"))
# Their gradients are not those of their values, which depend on random numbers, or are rounded on purpose.
_OWN_GRADIENT = frozenset(("gumbel_softmax", "_standard_gamma", "_sample_dirichlet", "fake_quantize_per_tensor_affine"))


class Unchecked(Exception):
    """What can't be compared, and why, in a few words."""


@dataclass
class Calls:
    """The first call of each custom Function of the user's."""

    places: Places
    seen: dict[type, tuple[Any, ...] | None] = field(default_factory=dict)
    depth: int = 0

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Note calls meanwhile."""
        import torch

        function: Any = torch.autograd.Function
        original = function.__dict__["apply"]
        calls = self

        def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
            calls.depth += 1
            try:
                if calls.depth == 1 and not kwargs and torch.is_grad_enabled():
                    calls._note(cls, args)
                return original.__func__(cls, *args, **kwargs)
            finally:
                calls.depth -= 1

        function.apply = classmethod(apply)
        try:
            yield
        finally:
            function.apply = original

    def _note(self, function: type, args: tuple[Any, ...]) -> None:
        import torch

        code = getattr(getattr(function, "forward", None), "__code__", None)
        if function in self.seen or code is None or len(self.seen) >= _MOST_FUNCTIONS:
            return
        if not self.places.is_users(code.co_filename):
            return
        with torch._C.DisableTorchFunction():  # this is no part of what the program computes
            self.seen[function] = None if _are_too_large(args) else with_tensors(args, _kept)


def _are_too_large(args: Any) -> bool:
    return bool(sum(each.numel() for each in tensors_in(args)) > _MOST_INPUTS)


def _kept(tensor: Any) -> Any:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


# Functions.


def check_function(
    function: Any, args: tuple[Any, ...] | None, places: Places, device: str | None = "cpu"
) -> dict[str, Any] | None:
    """What `backward` does wrong, or otherwise than the values say; None if it agrees. Raises `Unchecked`.

    `device` is what code asks in vain to leave; None: it may.
    """
    if args is None:
        raise Unchecked("its inputs are too large")
    inputs = with_tensors(args, _doubled)

    def call(*given: Any) -> Any:
        seed()
        return function.apply(*given)

    try:
        with in_float64(device):
            found = _compared(call, inputs)
    except Exception as error:
        raise Unchecked(f"it raises {type(error).__name__} in float64") from error
    if found is None:
        return None
    code = getattr(function.backward, "__code__", None)
    line = None if code is None else places.of_function(code)
    return {**found, "name": function.__name__, "place": places.place(line), "input": _name(function, found["input"])}


def _doubled(tensor: Any) -> Any:
    import torch

    if not tensor.is_floating_point():
        return tensor
    return tensor.detach().to(torch.float64).requires_grad_(tensor.requires_grad)


def _name(function: Any, position: int) -> str:
    code = function.forward.__code__
    names = code.co_varnames[: code.co_argcount]
    shift = 1 if function.setup_context is _plain_setup() else 0
    return names[position + shift] if position + shift < len(names) else f"input {position}"


def _plain_setup() -> Any:
    import torch

    return torch.autograd.Function.setup_context


def _compared(call: Callable[..., Any], inputs: tuple[Any, ...]) -> dict[str, Any] | None:
    """The first input whose gradient isn't the slope of the outputs, times fixed random numbers."""
    import torch

    results = call(*inputs)
    outputs = [each for each in tensors_in(results) if each.requires_grad]
    wanted = [(position, each) for position, each in enumerate(inputs) if getattr(each, "requires_grad", False)]
    if not outputs or not wanted:
        return None
    generator = torch.Generator().manual_seed(1)
    weights = [_random(each, generator) for each in outputs]
    total = sum((each * weight).sum() for each, weight in zip(outputs, weights))
    gradients = torch.autograd.grad(total, [each for _, each in wanted], allow_unused=True)

    def value(position: int, moved: Any) -> float:
        given = [*inputs[:position], moved.requires_grad_(), *inputs[position + 1 :]]
        parts = [each for each in tensors_in(call(*given)) if each.requires_grad]
        return float(sum((each * weight).sum() for each, weight in zip(parts, weights)))

    for (position, tensor), gradient in zip(wanted, gradients):
        if gradient is None:
            continue  # said with as many words: no gradient for this one
        start = tensor.detach()
        direction = _random(tensor, generator)
        along = float((gradient * direction).sum())
        size = abs(along) + float(gradient.norm())
        if all(abs(_slope(value, position, start, direction, step) - along) <= _CLOSE * size for step in _STEPS):
            continue
        found = _judged(_pairs(value, position, start, gradient), _passes_on(results, inputs))
        if found is not None:
            return {**found, "input": position}
    return None


def _random(like: Any, generator: Any) -> Any:
    """Numbers in the shape and at the place of a tensor; the same ones on all devices."""
    import torch

    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.device)


def _slope(value: Callable[[int, Any], float], position: int, start: Any, direction: Any, step: float) -> float:
    return (value(position, start + step * direction) - value(position, start - step * direction)) / (2 * step)


def _passes_on(results: Any, inputs: Any) -> bool:
    import torch

    return any(
        each.shape == given.shape and torch.equal(each, given)
        for each in tensors_in(results)
        for given in tensors_in(inputs)
    )


def _pairs(value: Callable[[int, Any], float], position: int, start: Any, gradient: Any) -> list[tuple[float, float]]:
    """Slope and gradient in some elements, the largest gradients' and others; not where there is no slope."""
    import torch

    count, step = start.numel(), _STEPS[1]
    spread = torch.linspace(0, count - 1, min(count, _SAMPLES))
    largest = gradient.reshape(-1).abs().topk(min(count, _SAMPLES // 2)).indices
    here = value(position, start.clone())
    pairs = []
    for index in sorted({int(each) for each in (*spread, *largest)}):
        values = []
        for sign in (1, -1):
            moved = start.clone()
            moved.view(-1)[index] += sign * step
            values.append(value(position, moved))
        right, left = (values[0] - here) / step, (here - values[1]) / step
        if abs(right - left) <= _MOST_ERROR * max(abs(right), abs(left), 1e-3):  # else a kink or a jump
            pairs.append(((right + left) / 2, float(gradient.reshape(-1)[index])))
    return pairs


def _judged(pairs: list[tuple[float, float]], passes_on: bool) -> dict[str, Any] | None:
    """Slopes with the gradients that stand in their place."""
    largest = max((max(abs(slope), abs(gradient)) for slope, gradient in pairs), default=0.0)
    wrong = [
        (slope, gradient)
        for slope, gradient in pairs
        if abs(slope - gradient) > _MOST_ERROR * max(abs(slope), abs(gradient), 1e-3 * largest)
    ]
    if not wrong:
        return None
    slope, gradient = max(wrong, key=lambda pair: abs(pair[0] - pair[1]))
    if passes_on:
        how = "passes-on"
    elif all(abs(each) <= _FLOOR * largest for each, _ in wrong):
        how = "straight-through"
    else:
        how = "wrong"
    ratios = [gradient / slope for slope, gradient in pairs if abs(slope) > 1e-3 * largest]
    middle = statistics.median(ratios) if ratios else None
    if middle is not None and any(abs(each - middle) > 1e-3 * max(1.0, abs(middle)) for each in ratios):
        middle = None
    return {"kind": "function", "how": how, "gradient": gradient, "slope": slope, "factor": middle}


# The loss.


@dataclass(frozen=True)
class Slope:
    """A parameter's gradient and the loss's slope, both along one direction."""

    gradient: float
    slope: float


class Slopes:
    """The comparison of a model's loss. `loss_of(model, values)` gives a scalar; `seconds` is how long it may take."""

    def __init__(
        self, model: Any, loss_of: Callable[[Any], Any], places: Places, seconds: float, device: str | None = "cpu"
    ) -> None:
        """`model` is changed to float64; `device` as for `check_function`."""
        self._device = device
        self._model = model
        self._loss_of = loss_of
        self._seconds = seconds
        self._calls = Calls(places)

    def wrong(self) -> dict[str, Slope]:
        """The parameters whose gradients aren't slopes of the loss. Raises `Unchecked`."""
        import torch

        parameters = {name: each for name, each in self._model.named_parameters() if each.requires_grad}
        if any(each.is_complex() or each.is_meta for each in self._model.parameters()):
            raise Unchecked("it has complex weights")
        self._model.double()
        self._buffers = {name: each.clone() for name, each in self._model.named_buffers()}
        try:
            with in_float64(self._device) as mode, self._calls.active():
                mode.calls = self._calls
                loss = self._loss()
                self._check(mode, loss)
                mode.watches = False  # what a Function's `backward` computes has no gradient, nor needs one
                gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
                begun = time.thread_time()
                again = self._value()
                spent = time.thread_time() - begun
                if again != float(loss):
                    raise Unchecked("its loss is another one at each call")
                reached = {
                    name: (parameter, gradient)
                    for (name, parameter), gradient in zip(parameters.items(), gradients)
                    if gradient is not None and not gradient.is_sparse
                }
                if spent * 2 * len(_STEPS) * len(reached) > self._seconds:
                    raise Unchecked("it is too large")
                return self._compared(reached)
        except Unchecked:
            raise
        except Exception as error:
            raise Unchecked(f"it raises {type(error).__name__} in float64") from error

    def _check(self, mode: Any, loss: Any) -> None:
        import torch

        if not isinstance(loss, torch.Tensor) or loss.dim() or not loss.requires_grad:
            raise Unchecked("its loss has no gradient")
        if mode.reason:
            raise Unchecked(mode.reason)
        if not bool(torch.isfinite(loss)):
            raise Unchecked("its loss isn't finite")

    def _loss(self) -> Any:
        import torch

        with torch.no_grad():
            for name, each in self._model.named_buffers():
                if name in self._buffers and each.shape == self._buffers[name].shape:
                    each.copy_(self._buffers[name])
        seed()
        return self._loss_of(self._model)

    def _value(self) -> float:
        import torch

        with torch.no_grad():
            return float(self._loss())

    def _compared(self, reached: dict[str, tuple[Any, Any]]) -> dict[str, Slope]:
        import torch

        generator = torch.Generator().manual_seed(2)
        found: dict[str, tuple[float, list[float]]] = {}
        for name, (parameter, gradient) in reached.items():
            direction = _random(parameter, generator)
            direction /= direction.norm()
            size = gradient.norm()
            if float(size) > 0:
                direction += gradient / size
            start = parameter.detach().clone()
            slopes = []
            for step in _STEPS:
                values = []
                for sign in (1, -1):
                    with torch.no_grad():
                        parameter.copy_(start + sign * step * direction)
                    values.append(self._value())
                slopes.append((values[0] - values[1]) / (2 * step))
            with torch.no_grad():
                parameter.copy_(start)
            found[name] = float((gradient * direction).sum()), slopes
        largest = max((abs(gradient) for gradient, _ in found.values()), default=0.0)
        largest = max([largest, *(abs(slopes[1]) for _, slopes in found.values())])
        return {
            name: Slope(gradient, slopes[1])
            for name, (gradient, slopes) in found.items()
            if all(_error(gradient, each, largest) > _MOST_ERROR for each in slopes)
            and _error(slopes[0], slopes[1], largest) < _MOST_ERROR
        }


def seed() -> None:
    """Random numbers from the beginning again; `torch.manual_seed` takes a millisecond for devices that aren't here."""
    import torch

    torch.default_generator.manual_seed(0)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(0)


def _error(one: float, other: float, largest: float) -> float:
    return abs(one - other) / max(abs(one), abs(other), _FLOOR * largest, sys.float_info.min)


@contextlib.contextmanager
def in_float64(device: str | None) -> Iterator[Any]:
    """Code that asks for float32 gets float64 meanwhile, and `device` if it asks for another one. Gives what watches
    it: `reason` says why what was computed can't be compared, empty if it can."""
    import torch

    class Watch:
        reason = ""
        watches = True
        calls: Any = None

        def operation(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            name = getattr(function, "__name__", "")
            if name == "__get__":
                name = getattr(getattr(function, "__self__", None), "__name__", "")
                result = function(*args, **kwargs)
            else:
                if device is not None:
                    soft, args, kwargs = softened(name, args, kwargs, device)
                    if not soft:
                        return args[0]
                if name in _SINGLE:
                    function, args = torch.Tensor.double, args[:1]
                elif name in ("to", "type", "type_as"):
                    args = tuple(torch.float64 if _is_narrow(each) else each for each in args)
                if _is_narrow(kwargs.get("dtype")):
                    kwargs = {**kwargs, "dtype": torch.float64}
                result = function(*args, **kwargs)
            if self.watches and not self.reason:
                self._watch(name, args, kwargs, result)
            return result

        def _watch(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
            if self.calls is not None and self.calls.depth:
                return
            if isinstance(result, torch.Tensor) and _is_narrow(result.dtype):
                self.reason = "it computes in float32 whatever it gets"
            elif name in _OWN_GRADIENT:
                self.reason = "it samples"
            elif (
                (name in _CUTS or not torch.is_grad_enabled())
                and name not in _NO_VALUES
                and any(each.requires_grad for each in tensors_in([*args, kwargs]))
            ):
                self.reason = _CUT

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        watch = Watch()
        with told_of_operations(watch.operation):
            yield watch
    finally:
        torch.set_default_dtype(before)


_CUT = "it cuts a gradient on purpose"


def _is_narrow(value: Any) -> bool:
    """Is it a dtype of real numbers with fewer digits than float64?"""
    import torch

    return isinstance(value, torch.dtype) and value in (torch.float32, torch.float16, torch.bfloat16)
