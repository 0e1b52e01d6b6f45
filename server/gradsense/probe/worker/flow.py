"""Where the gradient is cut: a shadow of the data flow that goes on where autograd's graph ends.

A mode sees each operation with its operands and results. Where a result depends on a parameter
but has no history, the operation and the user's line are kept as a break. Values that leave torch (`item`,
`numpy`) are linked again when they come back. A parameter without a gradient that reaches the loss in the
shadow was cut, at the first break on its way; otherwise the loss doesn't use it.

Blind: `torch.jit.script`, compiled regions, the inside of C++ operations.
"""

from __future__ import annotations

import contextlib
import heapq
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .devices import softened
from .modes import told_of_operations
from .vanish import GradientWatch
from .where import Line, Places

_READ_ONLY_SHAPE = ("_like", "new_")
_REWRAPS = frozenset(("tensor", "as_tensor", "from_numpy", "scalar_tensor", "full", "asarray", "frombuffer"))
_EXITS = frozenset(("item", "tolist", "numpy", "__float__", "__int__", "__array__", "__complex__", "__index__"))
_MOST_EXITS = 2000
LOSSES = frozenset(
    """cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy
    binary_cross_entropy_with_logits""".split()
)
"""Those that are observed even when nothing is recorded."""


@dataclass
class Node:
    """A tensor (or a value outside torch) at one moment. `words` and `broken` are set where the history
    ends."""

    inputs: tuple[int, ...]
    line: Line | None
    depends: bool
    words: str = ""
    broken: Line | None = None


class Flow:
    """Records while `recording`; replaces devices by `device` all the time it is entered, if one is given. Tensors are
    kept alive meanwhile."""

    def __init__(self, places: Places, device: str | None = "cpu") -> None:
        self._places = places
        self._device = device
        self.recording = False
        self.nodes: list[Node] = []
        self._of: dict[int, int] = {}
        self._starts: dict[int, int] = {}  # parameters before any step, which writes to them
        self._alive: list[Any] = []
        self._exits: list[tuple[int, Any]] = []
        self._off: list[Line | None] = []
        self.losses: list[int] = []
        self._edges_made: tuple[tuple[int, int], dict[int, list[int]], set[int]] | None = None
        self.observe: Callable[[str, Any, dict[str, Any], Line | None], None] | None = None
        """Told of each operation on something that is followed, while recording; of `LOSSES` always."""
        self.watch: GradientWatch | None = None
        """Told of everything that is recorded, where a step is looked at closely."""
        self.written: set[int] = set()
        """The ids of the followed parameters that something was written to, while recording."""
        self.renews = False
        """Whether what is written to a followed parameter, with gradients off, begins a new flow: a step by hand."""
        self.custom: set[str] = set()
        """The names of the user's `autograd.Function`s."""
        self.bytes_alive = 0
        """About how much memory the recording keeps from being freed."""

    @contextlib.contextmanager
    def active(self, parameters: dict[str, Any], recording: bool) -> Iterator[None]:
        """Devices replaced, and operations recorded if `recording`."""
        self.recording = recording
        if recording:
            for parameter in parameters.values():
                self.follow(parameter)
        with told_of_operations(self._operation), self._patched() if recording else contextlib.nullcontext():
            try:
                yield
            finally:
                self.recording = False

    def follow(self, parameter: Any) -> None:
        """From here on, note what is computed of a parameter."""
        node = self._starts[id(parameter)] = self._add(parameter, Node((), None, depends=True))
        if self.watch is not None:
            self.watch.noted(node, "", [], {}, parameter)

    def begin_again(self) -> None:
        """Forget what was computed so far; what is followed stays followed."""
        followed = [self._alive[index] for index in self._starts.values()]
        self.nodes.clear()
        self._of.clear()
        self._starts.clear()
        self.losses.clear()
        self._edges_made = None
        self.forget()
        self.bytes_alive = 0
        if self.watch is not None:
            self.watch.clear()
        for parameter in followed:
            self.follow(parameter)

    def loss(self, value: Any) -> None:
        """`value` is what is differentiated (or should be)."""
        node = self._of.get(id(value))
        if node is None:
            node = self._came_back(value)
        if node is not None:
            self.losses.append(node)

    def explain(self, parameter: Any) -> dict[str, Any] | None:
        """Why a parameter gets no gradient: `how` is unused, dropped, cut, no-loss, or intact where nothing is in the
        way; None if not recorded."""
        start = self._starts.get(id(parameter))
        if start is None:
            return None
        users, before = self.edges()
        if start not in users:
            return {"how": "unused", "words": "", "place": None}
        if not self.losses:
            return {"how": "no-loss", "words": "", "place": self._place(self.nodes[users[start][0]].line)}
        if start not in before:
            return {"how": "dropped", "words": "", "place": self._place(self.nodes[users[start][0]].line)}
        queue, seen = [start], {start}
        while queue:
            current = heapq.heappop(queue)  # as executed: the first break is the cause of those behind it
            node = self.nodes[current]
            if node.words:
                return {"how": "cut", "words": node.words, "place": self._place(node.broken)}
            for user in users.get(current, ()):
                if user in before and user not in seen:
                    seen.add(user)
                    heapq.heappush(queue, user)
        return {"how": "intact", "words": "", "place": None}

    def not_finite(self) -> dict[str, Any] | None:
        """The first operation that made NaN or infinity of finite values: its name and the user's line."""
        import torch

        for index, tensor in enumerate(self._alive):
            if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point() or not tensor.numel():
                continue
            if tensor.is_meta:
                continue
            node = self.nodes[index]
            if node.inputs and not bool(torch.isfinite(tensor.detach()).all()):
                return self._place(node.line)
        return None

    def start_of(self, parameter: Any) -> int | None:
        """The node of a parameter as it was before any step."""
        return self._starts.get(id(parameter))

    def value_of(self, node: int) -> Any:
        """The tensor of a node, as it is now."""
        return self._alive[node] if node < len(self._alive) else None

    def place_of(self, node: int) -> dict[str, Any] | None:
        """The user's line that has made a node."""
        return self._place(self.nodes[node].line)

    def forget(self) -> None:
        """Let go of the tensors."""
        self._alive.clear()
        self._exits.clear()

    # Recording.

    def _operation(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        import torch

        name = getattr(function, "__name__", "")
        if name in ("__get__", "__set__"):
            attribute = getattr(getattr(function, "__self__", None), "__name__", "")
            result = function(*args, **kwargs)
            if self.recording and name == "__set__" and attribute == "data":
                self._wrote(args[0])
            elif self.recording and attribute in ("data", "T", "mT", "H", "real", "imag", "mH"):
                self._note("data" if attribute == "data" else attribute, args, {}, result)
            return result
        if self._device is not None:
            soft, args, kwargs = softened(name, args, kwargs, self._device)
            if not soft:
                return args[0]
        off = not torch.is_grad_enabled()
        result = function(*args, **kwargs)
        if self.recording:
            self._note(name, args, kwargs, result, off)
        elif self.observe is not None and name in LOSSES and not off:
            self.observe(name, args, kwargs, self._places.current(sys._getframe(2)))
        return result

    def _note(self, name: str, args: Any, kwargs: dict[str, Any], result: Any, off: bool = False) -> None:
        import torch

        if name.endswith("_like") or name.startswith("new_") or name == "requires_grad_" or name == "backward":
            return
        if name == "broadcast_tensors":  # each result comes from one operand alone
            for operand, part in zip(_everything(args), result):
                self._note("expand", (operand,), {}, part, off)
            return
        inputs = self._inputs(name, args, kwargs)
        if not inputs:
            return
        depends = any(self.nodes[each].depends for each in inputs)
        line = self._places.current(sys._getframe(2))
        if depends and self.observe is not None:
            self.observe(name, args, kwargs, line)
        if name in _EXITS:
            if depends:
                node = Node(inputs, line, True, self._words(name), line)
                self._exits.append((self._add(result, node, track=False), result))
                del self._exits[:-_MOST_EXITS]
            return
        written = [args[0]] if args and (self._writes(name) or kwargs.get("inplace")) else []
        for each in written:
            self._wrote(each)
        if self.renews and off and written and id(written[0]) in self._starts:
            self.follow(written[0])
            return
        operands = self._operands(args, kwargs) if self.watch is not None else []
        for tensor in {id(each): each for each in [*written, *_tensors(result)]}.values():
            if any(tensor is each for each in args) and not written:
                continue  # `x.contiguous()` gave `x` itself
            node = Node(inputs, line, depends)
            if depends and isinstance(tensor, torch.Tensor) and tensor.grad_fn is None:
                node.words = self._reason(name, tensor, off)
                node.broken = (self._off[-1] or line) if node.words == "`no_grad`" and self._off else line
            index = self._add(tensor, node)
            if self.watch is not None:
                self.watch.noted(index, name, operands, kwargs, tensor)

    def _wrote(self, tensor: Any) -> None:
        """Note that a followed parameter, or its `.data`, is written to."""
        node = self._of.get(id(tensor))
        if node is not None and self.nodes[node].words == self._words("data"):
            node = self.nodes[node].inputs[0]
        if node is not None and not self.nodes[node].inputs:
            self.written.add(id(self._alive[node]))

    def _operands(self, args: Any, kwargs: dict[str, Any]) -> list[tuple[Any, int | None]]:
        """What an operation gets, each with its node."""
        return [(each, self._of.get(id(each))) for each in _everything((args, tuple(kwargs.values())))]

    def _inputs(self, name: str, args: Any, kwargs: dict[str, Any]) -> tuple[int, ...]:
        found = []
        for each in _everything((args, tuple(kwargs.values()))):
            node = self._of.get(id(each))
            if node is None and self._exits:
                node = self._came_back(each, anything=name in _REWRAPS)
            if node is not None:
                found.append(node)
        return tuple(dict.fromkeys(found))

    def _came_back(self, value: Any, anything: bool = False) -> int | None:
        """The node of a number or array that left torch: the same object, an equal one, or, if `anything`,
        the last."""
        node: int
        if isinstance(value, bool) or value is None or isinstance(value, str):
            return None
        for node, left in reversed(self._exits):
            if left is value or (isinstance(value, float) and isinstance(left, float) and left == value):
                return node
        if hasattr(value, "__array_interface__"):
            for node, left in reversed(self._exits):
                if hasattr(left, "__array_interface__"):
                    return node
        if anything and self._exits and isinstance(value, float):
            return self._exits[-1][0]
        return None

    @staticmethod
    def _writes(name: str) -> bool:
        return (
            name == "__setitem__"
            or (name.endswith("_") and not name.endswith("__"))
            or (name.startswith("__i") and name not in ("__index__", "__int__", "__invert__"))
        )

    @staticmethod
    def _words(name: str) -> str:
        words = {"__float__": "`float(…)`", "__int__": "`int(…)`", "data": "`.data`", "__array__": "`numpy`"}
        return words.get(name, f"`.{name}()`")

    def _reason(self, name: str, result: Any, off: bool) -> str:
        if name in ("detach", "detach_", "data"):
            return self._words(name)
        if off:
            return "`no_grad`"
        if name in _REWRAPS or name == "_make_subclass":
            return f"`torch.{name}(…)`" if name in _REWRAPS else "a new `nn.Parameter`"
        if not (result.is_floating_point() or result.is_complex()):
            return f"`{name.strip('_')}`, which has no gradient,"
        return f"`{name.strip('_')}`"

    def _add(self, value: Any, node: Node, track: bool = True) -> int:
        index = len(self.nodes)
        self.nodes.append(node)
        self._alive.append(value)
        if node.inputs:
            self.bytes_alive += getattr(value, "nbytes", 0)
        if track:
            self._of[id(value)] = index
        return index

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        """What the mode doesn't see: `from_numpy`, custom functions, and where gradients are switched off."""
        import torch

        flow = self
        library: Any = torch
        from_numpy: Any
        from_numpy, apply = torch.from_numpy, torch.autograd.Function.__dict__["apply"]
        new_parameter: Any = torch.nn.Parameter.__new__

        def noted_parameter(cls: Any, data: Any = None, *args: Any, **kwargs: Any) -> Any:
            result = new_parameter(cls, data, *args, **kwargs)
            if flow.recording and data is not None:
                flow._note("_make_subclass", (data,), {}, result)
            return result

        def noted_from_numpy(array: Any) -> Any:
            result = from_numpy(array)
            if flow.recording:
                flow._note("from_numpy", (array,), {}, result)
            return result

        def noted_apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
            result = apply.__func__(cls, *args, **kwargs)
            if flow.recording:
                flow.custom.add(cls.__name__.strip("_"))
                flow._note(cls.__name__, args, kwargs, result)
            return result

        switches: list[Any] = [torch.no_grad, torch.inference_mode, torch.set_grad_enabled]
        entered = [(each, each.__enter__, each.__exit__) for each in switches]
        made = torch.set_grad_enabled.__init__

        def noted_made(self: Any, mode: bool) -> None:
            inside = sys._getframe(1).f_globals.get("__name__") == made.__module__  # `no_grad` is made of it
            if not mode and not inside:
                flow._off.append(flow._switch_line())  # it acts as a function, too: there is no `with` to leave
            made(self, mode)

        def patched_enter(enter: Any) -> Any:
            def noted_enter(self: Any) -> Any:
                flow._off.append(flow._switch_line())
                return enter(self)

            return noted_enter

        def patched_exit(leave: Any) -> Any:
            def noted_exit(self: Any, *details: Any) -> Any:
                if flow._off:
                    flow._off.pop()
                return leave(self, *details)

            return noted_exit

        library.from_numpy = noted_from_numpy
        library.autograd.Function.apply = classmethod(noted_apply)
        library.nn.Parameter.__new__ = staticmethod(noted_parameter)
        library.set_grad_enabled.__init__ = noted_made
        for each, enter, leave in entered:
            each.__enter__ = patched_enter(enter)
            each.__exit__ = patched_exit(leave)
        try:
            yield
        finally:
            library.from_numpy = from_numpy
            library.autograd.Function.apply = apply
            library.nn.Parameter.__new__ = staticmethod(new_parameter)
            library.set_grad_enabled.__init__ = made
            for each, enter, leave in entered:
                each.__enter__ = enter
                each.__exit__ = leave

    def _switch_line(self) -> Line | None:
        """The line of a `with torch.no_grad()`, or of the decorated function."""
        frame = sys._getframe(2)
        if frame.f_code.co_name == "decorate_context":
            code = getattr(frame.f_locals.get("func"), "__code__", None)
            if code is not None:
                return code.co_filename, code.co_firstlineno
        return self._places.current(frame)

    # The graph.

    def edges(self) -> tuple[dict[int, list[int]], set[int]]:
        """Who uses each node, and the nodes that a loss depends on: made once for all parameters that are asked
        about."""
        made_of = (len(self.nodes), len(self.losses))
        if self._edges_made is None or self._edges_made[0] != made_of:
            self._edges_made = made_of, self._users(), self._before(self.losses)
        return self._edges_made[1:]

    def _users(self) -> dict[int, list[int]]:
        users: dict[int, list[int]] = {}
        for index, node in enumerate(self.nodes):
            for each in node.inputs:
                users.setdefault(each, []).append(index)
        return users

    def _before(self, ends: list[int]) -> set[int]:
        seen, todo = set(ends), list(ends)
        while todo:
            for each in self.nodes[todo.pop()].inputs:
                if each not in seen:
                    seen.add(each)
                    todo.append(each)
        return seen

    def _place(self, line: Line | None) -> dict[str, Any] | None:
        return self._places.place(line)


def _tensors(value: Any) -> Iterator[Any]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)


def _everything(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list)):
        for each in value:
            yield from _everything(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _everything(each)
    else:
        yield value
