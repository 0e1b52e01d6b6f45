"""Where a gradient becomes exactly 0, or stops being finite: the first operation that does it, and why.

Only a step that is looked at closely is watched so: each result gets a hook, which costs too much for a healthy run.
An operation whose result has a gradient, while what it was made of has none, is the one that takes it away. The
families below are what the formulas of torch's derivatives say (`tools/autograd/derivatives.yaml` of torch).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .unregistered import trainable

if TYPE_CHECKING:
    from .flow import Flow
    from .steps import History

_FLAT = frozenset("round floor ceil trunc fix sign sgn heaviside bernoulli poisson floor_divide floordiv".split())
"""Slope 0 everywhere."""
_OFF = frozenset(
    """relu relu6 threshold hardtanh clamp clip clamp_min clamp_max hardshrink softshrink hardsigmoid hardswish rrelu
    leaky_relu elu selu celu gelu silu mish softplus logsigmoid""".split()
)
"""Slope 0 on one side, at least where floats end."""
_SATURATES = frozenset(
    """sigmoid tanh softmax log_softmax softmin gumbel_softmax erf erfc exp exp2 cross_entropy nll_loss
    binary_cross_entropy binary_cross_entropy_with_logits scaled_dot_product_attention""".split()
)
_MULTIPLIES = frozenset(
    """mul div linear matmul mm bmm mv dot vdot inner outer einsum conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d conv_transpose3d bilinear addmm addbmm baddbmm addmv addcmul tensordot kron prod multiply divide
    lerp""".split()
)
_LAYERS = frozenset(
    """linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d bilinear layer_norm batch_norm
    group_norm instance_norm matmul""".split()
)
_CHOOSES = frozenset(
    """where masked_fill index gather index_select masked_select take take_along_dim max min amax amin topk sort
    median kthvalue maximum minimum fmax fmin max_pool1d max_pool2d max_pool3d adaptive_max_pool1d
    adaptive_max_pool2d narrow select tril triu dropout dropout1d dropout2d dropout3d embedding embedding_bag
    setitem copy fill zero masked_scatter scatter index_fill index_copy index_put""".split()
)
"""They take some of what they get, and let go of the rest, or write something else over it."""
_MARGINS = frozenset(
    """margin_ranking_loss triplet_margin_loss triplet_margin_with_distance_loss hinge_embedding_loss
    multi_margin_loss cosine_embedding_loss multilabel_margin_loss""".split()
)
_DISTANCES = frozenset("mse_loss l1_loss smooth_l1_loss huber_loss abs absolute square pow norm dist cdist".split())


@dataclass
class _Operation:
    """One that was seen: its name without underscores, what it got, each with its node, and whether its result is
    all 0 or not finite."""

    name: str
    operands: list[tuple[Any, int | None]]
    options: dict[str, Any]
    zero: bool = False
    nan: bool = False
    infinite: bool = False


class GradientWatch:
    """Takes note of every operation of a recording `Flow` and of the gradients that reach their results."""

    def __init__(self) -> None:
        self._seen: dict[int, _Operation] = {}
        self._gradients: dict[int, tuple[bool, bool]] = {}  # by node: whether it is not 0, whether it is finite
        self._first_not_finite: int | None = None
        self._hooks: list[Any] = []
        self._hooked: set[int] = set()  # ids of tensors, which the flow keeps alive

    def noted(
        self, node: int, name: str, operands: list[tuple[Any, int | None]], options: dict[str, Any], result: Any
    ) -> None:
        """An operation has given `result`; or, without operands, a parameter is followed."""
        import torch

        operation = self._seen[node] = _Operation(_plain(name), operands, options)
        if not isinstance(result, torch.Tensor) or result.is_meta or not result.numel():
            return
        if result.is_floating_point() or result.is_complex():
            with torch.no_grad():
                operation.zero = not bool(result.any())
                operation.nan = bool(torch.isnan(result).any())
                operation.infinite = bool(torch.isinf(result).any())
        if result.requires_grad:
            self._hooks.append(self._hook(node, result))

    def _hook(self, node: int, result: Any) -> Any:
        """Have `_arrives` told of the gradient of a result. Gives what takes the hook away."""
        if id(result) not in self._hooked or result.grad_fn is None:
            self._hooked.add(id(result))
            return result.register_hook(lambda gradient: self._arrives(node, gradient))
        # It was written to. Its hooks stay behind with the operation before, where torch is old.
        number = result.output_nr
        return result.grad_fn.register_prehook(lambda gradients: self._arrives(node, gradients[number]))

    def clear(self) -> None:
        """Forget what was seen: the flow begins again."""
        self.close()
        self._seen.clear()
        self._gradients.clear()
        self._first_not_finite = None

    def close(self) -> None:
        """Take the hooks away."""
        for each in self._hooks:
            each.remove()
        self._hooks.clear()
        self._hooked.clear()

    def _arrives(self, node: int, gradient: Any) -> None:
        import torch

        if gradient is None:
            return
        with torch.no_grad():
            values = gradient.coalesce().values() if gradient.is_sparse else gradient
            finite = bool(torch.isfinite(values).all())
            some = bool(values.any())
        before = self._gradients.get(node, (False, True))
        self._gradients[node] = before[0] or some, before[1] and finite
        if not finite and self._first_not_finite is None:
            self._first_not_finite = node

    # A gradient of 0.

    def zeroed(self, flow: Flow, parameter: Any, names: dict[int, str]) -> dict[str, Any] | None:
        """The first operation that turns a parameter's gradient to 0; None if none was seen.

        `how` is zeroed, `kind` says why (see `probe/sentences.py`), `words` the operation, `what` is the name, of
        `names` by id, of a factor that is 0.
        """
        start = flow.start_of(parameter)
        if start is None:
            return None
        users, before = flow.edges()
        found: list[tuple[int, int]] = []
        queue, seen = [start], {start}
        while queue:
            current = queue.pop()
            for user in users.get(current, ()):
                if user not in before:
                    continue
                if self._gradients.get(user, (False, True))[0]:
                    found.append((user, current))
                elif user not in seen and not flow.nodes[user].words:
                    seen.add(user)
                    queue.append(user)
        if not found:
            return None
        told = [self._taken_away(flow, *each, start, names) for each in sorted(found)]
        # Only if every way is flat by its formula can no other batch bring a gradient.
        certain = ("flat", "single")
        return next((each for each in told if each["kind"] not in certain), told[0])

    def _taken_away(self, flow: Flow, user: int, current: int, start: int, names: dict[int, str]) -> dict[str, Any]:
        operation = self._seen[user]
        kind, what, at = self._kind(flow, operation, current), "", user
        if kind == "multiplied" or (kind == "other" and operation.name in _LAYERS):
            factor = next(self._zero_factors(operation, current), None)
            if factor is None:
                kind = "multiplied" if kind == "multiplied" and operation.name in ("mul", "div") else "other"
            else:
                origin = self._origin(flow, factor[1])
                # What gives nothing but 0 is where it begins, for what comes before and behind.
                if origin is not None and flow.nodes[origin].inputs:
                    at, operation = origin, self._seen[origin]
                    kind = self._kind(flow, operation, None)
                    inner = next(self._zero_factors(operation, None), None)
                    what = self._name_of(flow, inner, names)
                else:
                    what = self._name_of(flow, (factor[0], origin), names)
                    if current == start and operation.name in _LAYERS and not what:
                        kind = "input"
        return self._told(flow, "zeroed", kind, at, what)

    def _kind(self, flow: Flow, operation: _Operation, current: int | None) -> str:
        name = operation.name
        if name in _FLAT or (name in ("div", "divide") and operation.options.get("rounding_mode")):
            return "flat"
        if _is_over_one(operation):
            return "single"
        for kind, family in (
            ("off", _OFF), ("saturated", _SATURATES), ("multiplied", _MULTIPLIES), ("chosen", _CHOOSES),
            ("margin", _MARGINS), ("equal", _DISTANCES),
        ):  # fmt: skip
            if name in family:
                return kind
        if name in flow.custom:
            return "backward"
        return "other"

    def _zero_factors(self, operation: _Operation, current: int | None) -> Iterator[tuple[Any, int | None]]:
        """What an operation multiplies by and is 0."""
        import torch

        for value, node in operation.operands:
            if node is not None and node == current:
                continue
            if isinstance(value, torch.Tensor):
                if node is not None and node in self._seen:
                    zero = self._seen[node].zero
                else:
                    zero = not value.is_meta and bool(value.numel()) and not bool(value.detach().any())
                if zero and not (operation.name == "linear" and value.dim() == 1 and len(operation.operands) > 2):
                    yield value, node
            elif operation.name in ("mul", "multiply") and isinstance(value, (int, float)) and value == 0:
                yield value, None

    def _origin(self, flow: Flow, node: int | None) -> int | None:
        """The first of the operations that hand on nothing but 0, or the parameter that they only reshape."""
        while node is not None:
            inputs = flow.nodes[node].inputs
            zeros = [each for each in inputs if each in self._seen and self._seen[each].zero]
            multiplies = self._seen[node].name in _MULTIPLIES
            if not zeros or (not multiplies and len(zeros) < len(inputs)):
                return node
            if multiplies and not flow.nodes[zeros[0]].inputs:
                return node  # by a parameter that is 0
            node = zeros[0]
        return None

    def _name_of(self, flow: Flow, factor: tuple[Any, int | None] | None, names: dict[int, str]) -> str:
        if factor is None:
            return ""
        value, node = factor
        origin = self._origin(flow, node)
        found = names.get(id(value)) or (names.get(id(flow.value_of(origin))) if origin is not None else None)
        return found or ""

    # Not finite.

    def not_finite(self, flow: Flow, names: dict[int, str]) -> dict[str, Any] | None:
        """The first operation that makes NaN or infinity: of finite values on the way to the loss, else of finite
        gradients on the way back. `kind`: made, given (by data), start (a parameter has it), slope.
        """
        node = self._first_wrong(flow)
        if node is not None:
            operation = self._seen[node]
            if not flow.nodes[node].inputs:
                return self._told(flow, "not-finite", "start", node, names.get(id(flow.value_of(node)), ""))
            bad = [(v, n) for v, n in operation.operands if self._is_wrong(v, n)]
            if any(n is None and not isinstance(v, (int, float)) for v, n in bad) and operation.name in _LAYERS:
                return self._told(flow, "not-finite", "given", node, "")
            return self._told(flow, "not-finite", "made", node, "NaN" if operation.nan else "infinity")
        if self._first_not_finite is None:
            return None
        users, before = flow.edges()
        for user in users.get(self._first_not_finite, ()):
            gradient = self._gradients.get(user)
            if user in before and gradient is not None and gradient[1]:
                return self._told(flow, "not-finite", "slope", user, "")
        return None

    def _first_wrong(self, flow: Flow) -> int | None:
        """The node where NaN comes from; or infinity, if that is what the loss is."""
        _, before = flow.edges()
        ways = sorted(each for each in before if each in self._seen)
        nan = next((each for each in ways if self._seen[each].nan), None)
        if nan is None:
            ends = [each for each in flow.losses if each in self._seen]
            if not any(self._seen[each].infinite for each in ends):
                return None  # infinity on purpose: a mask before a softmax
            return next((each for each in ways if self._seen[each].infinite), None)
        # Infinity that was computed, not one that a mask has put there, is where it went wrong.
        above, todo = {nan}, [nan]
        while todo:
            for each in flow.nodes[todo.pop()].inputs:
                if each not in above and each in self._seen:
                    above.add(each)
                    todo.append(each)
        return next((each for each in sorted(above) if self._made_infinity(each)), nan)

    def _made_infinity(self, node: int) -> bool:
        operation = self._seen[node]
        return operation.infinite and not any(self._is_wrong(value, each) for value, each in operation.operands)

    def _is_wrong(self, value: Any, node: int | None) -> bool:
        """Is an operand not finite?"""
        import torch

        if node is not None and node in self._seen:
            return self._seen[node].nan or self._seen[node].infinite
        if isinstance(value, torch.Tensor):
            return not value.is_meta and not bool(torch.isfinite(value.detach()).all())
        return isinstance(value, float) and value - value != 0

    def _told(self, flow: Flow, how: str, kind: str, node: int, what: str) -> dict[str, Any]:
        return {
            "how": how,
            "kind": kind,
            "words": self._seen[node].name if flow.nodes[node].inputs else "",
            "what": what,
            "place": flow.place_of(node),
        }


def _plain(name: str) -> str:
    """`__rmul__`, `mul_` and `__imul__` are `mul`."""
    plain = name.strip("_")
    if name.startswith("__"):
        plain = {"getitem": "index", "rsub": "sub", "rpow": "pow"}.get(plain, plain)
        for operator in ("mul", "add", "sub", "matmul", "div", "truediv", "floordiv", "pow"):
            if plain in (f"r{operator}", f"i{operator}"):
                plain = operator
    return {"truediv": "div", "true_divide": "div"}.get(plain, plain)


def _is_over_one(operation: _Operation) -> bool:
    """Does it norm over a single element, so that its result is the same whatever comes in?"""
    import torch

    values = [value for value, _ in operation.operands]
    given = next((each for each in values if isinstance(each, torch.Tensor)), None)
    if given is None or not given.dim():
        return False
    options = operation.options
    if operation.name in ("softmax", "log_softmax", "softmin", "gumbel_softmax"):
        dim = options.get("dim")
        if dim is None:
            dim = next((each for each in values if isinstance(each, int)), None)
        return isinstance(dim, int) and -given.dim() <= dim < given.dim() and given.shape[dim] == 1
    if operation.name == "cross_entropy":
        return bool(given.shape[1 if given.dim() > 1 else 0] == 1)
    return False


def step_to_watch(histories: Mapping[Any, History], steps: int) -> int | None:
    """The step that is worth looking at closely: the first, where a gradient wasn't finite, since nothing is after it;
    the last, where one was always 0, since many are 0 in the beginning. None where all is well.
    """
    kinds = {each.gradient for each in histories.values()}
    if "not finite" in kinds:
        return 0
    return steps - 1 if "zero" in kinds else None


def explain_closely(
    flow: Flow, watch: GradientWatch, model: Any, histories: Mapping[str, History]
) -> dict[str, dict[str, Any]]:
    """By name, what became of the parameters whose gradient was 0; under "", what was the first that was not finite."""
    watch.close()
    found: dict[str, dict[str, Any]] = {}
    parameters = trainable(model)
    names = names_of(model)
    for name, history in histories.items():
        if history.gradient == "zero" and name in parameters:
            told = watch.zeroed(flow, parameters[name], names)
            if told is not None:
                found[name] = told
    wrong = watch.not_finite(flow, names)
    if wrong is not None and any(each.gradient == "not finite" for each in histories.values()):
        found[""] = wrong
    flow.forget()
    return found


def names_of(model: Any) -> dict[int, str]:
    """The names of a model's parameters and buffers by id."""
    return {id(each): name for name, each in (*model.named_buffers(), *trainable(model).items())}
