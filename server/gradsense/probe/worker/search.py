"""Find a batch that a function accepts, by running it and repairing the argument an operation couldn't use.

Runs are on tensors without data (meta), where the model allows it; a run stops at the first operation that
can't work, so the candidate that gets furthest is the best. Facts on layers and operations are in `needs.py`.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from . import needs
from .batch import BATCH, Leaf, Node, leaves, made, meta, real, rebuilt, reranked
from .devices import softened
from .modes import told_of_operations
from .needs import Need, Unfit, raised_to
from .refusals import refused

_SIDES = (32, 28, 64, 84, 16, 96, 128, 224, 8, 227, 256, 299, 48, 40)
_MOST_ELEMENTS = 1_000_000
_ENOUGH_ELEMENTS = 20_000_000
_SCALAR_ATTRIBUTES = frozenset(("__get__", "__set__", "__delete__"))
_LEAST_SIDE = 4
_MOST_RUNS = 400
_SHARE_ON_META = 0.6  # of the time; the rest is for runs with data
_STEP = 16
_WEIGHTS = {"kind": 6, "rank": 5}  # a size can only be right once kind and rank are
State = tuple[Leaf, ...]


@dataclass
class Run:
    """One run: how far it went (`_STEP` for each operation, a part of it for one whose needs are known), what
    stopped it (`error` None: nothing), and the whole-number bounds seen."""

    progress: int = 0
    elements: int = 0  # of all results
    error: BaseException | None = None
    needs: list[tuple[int, Need, tuple[int, ...]]] = field(default_factory=list)
    bounds: dict[int, int] = field(default_factory=dict)
    needs_data: bool = False
    result: Any = None


class NoInputs(Exception):
    """The search gave up; `error` is what the best candidate ran into, after so much `progress`."""

    def __init__(self, error: BaseException | None, state: State, progress: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.state = state
        self.progress = progress


class Search:
    """Looks for arguments of `call`, starting from the nodes guessed. `call` takes the arguments' values."""

    def __init__(
        self,
        arguments: list[Node],
        call: Callable[[list[Any]], Any] | None,
        meta_call: Callable[[list[Any]], Any] | None,
        seconds: float,
        device: str = "cpu",
    ) -> None:
        """Runs with data are on `device`. One of the calls may be None: of a model without data, of one that can't be
        copied without its data."""
        self.arguments = arguments
        self._call = call
        self._meta_call = meta_call
        self._seconds = seconds
        self._device = device
        self._deadline = time.monotonic() + seconds
        self._most_runs = 0
        self._tried: dict[State, Run] = {}
        self.runs = 0
        self.bounds: dict[int, int] = {}
        self.last: Run | None = None

    def found(self) -> list[Node]:
        """The arguments that work. Raises `NoInputs`.

        What is found without data is tried with data: some operations check less there. What isn't found there is
        looked for with data.
        """
        state = tuple(leaf for node in self.arguments for leaf in leaves(node))
        if self._meta_call is not None:
            if self._call is not None:
                self._deadline -= self._seconds * (1 - _SHARE_ON_META)
            try:
                state = self._searched(state)
            except NoInputs as error:
                if self._call is None:
                    raise
                state = error.state
            if self._call is None:
                return self._nodes(state)
            self._with_data()
            self._deadline += self._seconds * (1 - _SHARE_ON_META)
        return self._nodes(self._searched(state))

    def _with_data(self) -> None:
        """From here on with real values."""
        self._meta_call = None
        self._tried.clear()

    def _searched(self, start: State) -> State:
        """A state that works, from `start` on. Raises `NoInputs`."""
        self._most_runs = self.runs + _MOST_RUNS
        order = itertools.count()
        queue: list[tuple[int, int, int, State]] = []
        best: tuple[int, BaseException | None, State] = (-1, None, start)

        def offer(state: State, cost: int) -> State | None:
            nonlocal best
            state = self._fitting(state)
            if state in self._tried or self._too_large(state):
                return None
            run = self.run(state)
            if run.error is None:
                return state
            if run.progress > best[0]:
                best = (run.progress, run.error, state)
            heapq.heappush(queue, (-run.progress, cost, next(order), state))
            return None

        done = offer(start, 0)
        if done is not None:
            return self._shrunk(done)
        while queue and not self._is_spent:
            _, cost, _, state = heapq.heappop(queue)
            run = self._tried.get(state) or self.run(state)  # tried without data, perhaps
            reached = run.progress
            for candidate in self._repairs(state, run):
                done = offer(candidate, cost + 1)
                if done is not None:
                    return self._shrunk(done)
                tried = self._tried.get(self._fitting(candidate))
                if tried is not None and tried.progress > reached:
                    break  # further than before: go on from there, this state stays in the queue's order
                if self._is_spent:
                    break
            else:
                continue
            heapq.heappush(queue, (-reached + 1, cost + 1, next(order), state))
        raise NoInputs(best[1], best[2], best[0])

    @property
    def _is_spent(self) -> bool:
        return self.runs >= self._most_runs or time.monotonic() > self._deadline

    def _fitting(self, state: State) -> State:
        """`state`, or the same with smaller images where it would have too many numbers."""
        while self._too_large(state):
            smaller = tuple(
                replace(leaf, shape=(*leaf.shape[:2], *(size // 2 for size in leaf.shape[2:])))
                if len(leaf.shape) >= 4 and min(leaf.shape[2:]) >= 2 * _LEAST_SIDE
                else leaf
                for leaf in state
            )
            if smaller == state:
                break
            state = smaller
        return state

    def _shrunk(self, state: State) -> State:
        """`state` with smaller images, where it makes more numbers than a probe needs."""
        for _ in range(5):
            if self._tried[state].elements < _ENOUGH_ELEMENTS:
                break
            smaller = tuple(
                replace(leaf, shape=(*leaf.shape[:2], *(max(1, size // 2) for size in leaf.shape[2:])))
                if len(leaf.shape) >= 4
                else leaf
                for leaf in state
            )
            if smaller == state or self.run(smaller).error is not None:
                break
            state = smaller
        return state

    def run(self, state: State) -> Run:
        """Run once with `state`."""
        self.runs += 1
        run = self._once(state, self._meta_call is not None)
        if run.needs_data and self._meta_call is not None and self._call is not None:
            self._with_data()  # the code looks at values
            run = self._once(state, False)
        if self._meta_call is None:
            run = self._lowered(state, run)
        self._tried[state] = run
        self.last = run
        self._narrow(run)
        return run

    def _narrow(self, run: Run) -> None:
        for index, bound in run.bounds.items():
            self.bounds[index] = min(bound, self.bounds.get(index, bound))

    def _lowered(self, state: State, run: Run) -> Run:
        """The run again with smaller whole numbers, as long as one is out of range: of what they are added to, say."""
        before = dict(self.bounds)
        while _is_out_of_range(run.error) and time.monotonic() < self._deadline:
            self._narrow(run)
            high = {i: self.bounds.get(i, leaf.high) for i, leaf in enumerate(state) if leaf.kind == "long"}
            if max(high.values(), default=1) <= 1:
                self.bounds = before  # they aren't to blame
                break
            self.bounds.update({i: max(1, each // 2) for i, each in high.items()})
            run = self._once(state, False)
        return run

    def _once(self, state: State, on_meta: bool) -> Run:
        import torch

        tensors: list[Any] = []

        def tensor(leaf: Leaf) -> Any:
            index = len(tensors)
            bound = self.bounds.get(index, leaf.high)
            fitting = replace(leaf, high=min(bound, max(leaf.high, bound)))
            tensors.append(meta(fitting) if on_meta else real(fitting, self._device))
            return tensors[-1]

        values = [made(node, tensor) for node in self._nodes(state)]
        run = Run()
        watch = Watch(run, tensors, "meta" if on_meta else self._device)
        torch.manual_seed(0)
        hook = torch.nn.modules.module.register_module_forward_pre_hook(watch.layer)
        try:
            with watch:
                call = self._meta_call if on_meta else self._call
                assert call is not None
                run.result = call(values)
        except Unfit as unfit:
            run.error = unfit
            run.needs = watch.traced(unfit.needs)
        except (Exception, SystemExit) as error:
            run.error = error
            if on_meta and ("meta" in str(error).lower() or isinstance(error, NotImplementedError)):
                run.needs_data = True
            run.needs = watch.traced([*refused(error), *watch.suspects])
        finally:
            hook.remove()
        return run

    def _nodes(self, state: State) -> list[Node]:
        new = [
            replace(leaf, high=self.bounds[i]) if leaf.kind == "long" and i in self.bounds else leaf
            for i, leaf in enumerate(state)
        ]
        return [rebuilt(node, new) for node in self.arguments]

    def _too_large(self, state: State) -> bool:
        total = 0
        for leaf in state:
            size = 1
            for each in leaf.shape:
                size *= each
            total += size
        return total > _MOST_ELEMENTS

    # Repairs, likeliest first.

    def _repairs(self, state: State, run: Run) -> Iterator[State]:
        if _is_out_of_range(run.error):
            for index in run.bounds:
                if state[index].kind in ("float", "double"):  # a table is looked up by what it is cast to
                    yield (*state[:index], replace(state[index], kind="long"), *state[index + 1 :])
        for index, need, shape in run.needs:
            for leaf in self._repaired(state, index, need, shape):
                yield (*state[:index], leaf, *state[index + 1 :])
        for index, need, shape in run.needs:
            if need.what == "size":
                yield from self._solved(state, index, need, shape)
        yield from self._blind(state)

    def _repaired(self, state: State, index: int, need: Need, shape: tuple[int, ...]) -> Iterator[Leaf]:
        leaf = state[index]
        rank = len(leaf.shape)
        if need.what == "kind":
            yield replace(leaf, kind=need.kind, high=need.size or leaf.high)
        elif need.what == "rank":
            for wanted in need.ranks:
                if wanted > 0:
                    yield from reranked(leaf, rank + wanted - len(shape))
        elif need.what == "size":
            dimension = need.dimension % len(shape) if shape else 0
            if shape == leaf.shape:
                yield leaf.resized(dimension, need.size)
            else:
                if len(shape) == rank:
                    yield leaf.resized(dimension, need.size)
                if rank > 1 and shape and math.prod(leaf.shape[1:]) == shape[dimension]:
                    yield from _counted(leaf, need.size)
                for i in reversed(range(rank)):
                    if leaf.shape[i] == shape[dimension]:
                        yield leaf.resized(i, need.size)
        elif need.what == "count":
            if rank == 4:
                yield from (leaf.resized(2, side).resized(3, side) for side in _SIDES)
            yield from _counted(leaf, need.size)

    def _solved(self, state: State, index: int, need: Need, shape: tuple[int, ...]) -> Iterator[State]:
        """Sizes for which a computed size fits: the usual image sides, then bisection on one dimension or
        two."""
        leaf, reached = state[index], (self._tried.get(state) or self.run(state)).progress
        rank = len(leaf.shape)
        groups: list[tuple[int, ...]] = []
        if rank >= 4:
            groups.append(tuple(range(2, rank)))
        groups += [(i,) for i in reversed(range(1, rank))]
        for group in groups:

            def sized(side: int, group: tuple[int, ...] = group) -> State:
                new = leaf
                for dimension in group:
                    new = new.resized(dimension, side)
                return self._fitting((*state[:index], new, *state[index + 1 :]))

            if len(group) > 1:
                yield from (sized(side) for side in _SIDES)
            low, high = 0, 1024
            while high - low > 1 and time.monotonic() < self._deadline:
                middle = (low + high) // 2
                candidate = sized(middle)
                if self._too_large(candidate):
                    high = middle
                    continue
                run = self._tried.get(candidate) or self.run(candidate)
                if run.error is None or run.progress > reached:
                    self._tried.pop(candidate, None)
                    yield candidate
                    break
                got = self._measured(run, index, need)
                if got is None or got < need.size:
                    low = middle
                else:
                    high = middle

    @staticmethod
    def _measured(run: Run, index: int, need: Need) -> int | None:
        for other, each, shape in run.needs:
            if other == index and each.what == "size" and each.size == need.size and each.dimension == need.dimension:
                return shape[each.dimension] if -len(shape) <= each.dimension < len(shape) else None
        return None

    def _blind(self, state: State) -> Iterator[State]:
        """When no operation says what it needs: other ranks, kinds and image sides, one argument at a
        time."""
        for index, leaf in enumerate(state):
            if leaf.fixed:
                continue
            for rank in (4, 3, 2, 1, 5):
                if rank != len(leaf.shape):
                    for new in itertools.islice(reranked(leaf, rank), 1):
                        yield (*state[:index], new, *state[index + 1 :])
            for kind in ("long", "float", "bool", "double"):
                if kind != leaf.kind:
                    yield (*state[:index], replace(leaf, kind=kind), *state[index + 1 :])
            if len(leaf.shape) == 4:
                for side in _SIDES[:8]:
                    yield (
                        *state[:index], leaf.resized(2, side).resized(3, side), *state[index + 1 :]
                    )  # fmt: skip
                for channels in (1, 3, 16):
                    yield (*state[:index], leaf.resized(1, channels), *state[index + 1 :])
            if leaf.shape and leaf.shape[0] != 1:
                yield (*state[:index], leaf.resized(0, 1), *state[index + 1 :])
        if len(state) > 1:
            for index, other in itertools.permutations(range(len(state)), 2):
                yield (*state[:index], replace(state[index], shape=state[other].shape), *state[index + 1 :])


def _is_out_of_range(error: BaseException | None) -> bool:
    words = str(error)
    return isinstance(error, (IndexError, RuntimeError)) and ("out of range" in words or "bounds" in words)


def _counted(leaf: Leaf, size: int) -> Iterator[Leaf]:
    """Shapes with `size` elements per sample."""
    batch = leaf.shape[0] if leaf.shape else BATCH
    if len(leaf.shape) < 4:
        yield replace(leaf, shape=(batch, size))
    for channels in (1, 3):
        if size % channels == 0:
            side = round((size // channels) ** 0.5)
            if side * side * channels == size:
                yield replace(leaf, shape=(batch, channels, side, side))
    if len(leaf.shape) > 1:
        for i in reversed(range(1, len(leaf.shape))):
            rest = 1
            for j, each in enumerate(leaf.shape[1:], 1):
                rest *= each if j != i else 1
            if size % rest == 0:
                yield leaf.resized(i, size // rest)
    if leaf.shape:
        yield leaf.resized(0, size)


class Watch:
    """Counts operations, checks their operands and remembers which argument each tensor comes from."""

    def __init__(self, run: Run, tensors: list[Any], device: str) -> None:
        self._run = run
        self._device = device
        self._origins: dict[int, int] = {id(tensor): index for index, tensor in enumerate(tensors)}
        self._alive: list[Any] = list(tensors)
        self.suspects: list[Need] = []
        self._checking = False
        self._told = told_of_operations(self.operation)

    def __enter__(self) -> Watch:
        self._told.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._told.__exit__(*details)

    def layer(self, module: Any, operands: Any) -> None:
        """Before each layer: stop the run if it can't work on its operands."""
        self._checking = True  # what the checks themselves ask of the tensors is no operation of the user's
        try:
            found = list(needs.of_layer(module, operands))
        finally:
            self._checking = False
        self._stop(found, type(module).__name__)

    def operation(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """One operation: checked, run, and its result's origin noted."""
        import torch

        name = getattr(function, "__name__", "")
        if self._checking or name in _SCALAR_ATTRIBUTES:
            result = function(*args, **kwargs)
        else:
            name, args, kwargs = softened(name, args, kwargs, self._device)
            if not name:
                return args[0]
            if self._device == "meta":
                args, kwargs = self._on_meta(name, args), kwargs
            self._stop(list(needs.of_operation(name, args, kwargs)), name)
            self.suspects = []
            try:
                result = function(*args, **kwargs)
            except (Exception, SystemExit):
                self.suspects = list(needs.after_failure(name, args, kwargs))
                if not self.suspects:
                    self.suspects = [Need(each, "look") for each in args if isinstance(each, torch.Tensor)]
                raise
            if isinstance(result, (torch.Tensor, tuple, list)):
                self._run.progress += _STEP  # `x.dim()` and its like are no progress
        origin = self._origin_of(args)
        if origin is not None:
            for each in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(each, torch.Tensor):
                    self._run.elements += each.nelement()
                    self._origins.setdefault(id(each), origin)
                    self._alive.append(each)
        return result

    def _on_meta(self, name: str, args: Any) -> Any:
        """Constants of the user's that live on the CPU join the tensors without data."""
        import torch

        tensors = [each for each in _flat(args) if isinstance(each, torch.Tensor)]
        if not any(each.is_meta for each in tensors) or all(each.is_meta for each in tensors):
            return args
        return tuple(
            each.to("meta") if isinstance(each, torch.Tensor) and not each.is_meta and each.dim() else each
            for each in args
        )

    def _origin_of(self, args: Any) -> int | None:
        best: int | None = None
        for each in _flat(args):
            index = self._origins.get(id(each))
            if index is not None and (best is None or index < best):
                best = index
        return best

    def _stop(self, found: list[Need], what: str) -> None:
        for need in found:
            if need.what == "below":
                index = self._origins.get(id(need.operand))
                if index is not None:
                    self._run.bounds[index] = min(need.size, self._run.bounds.get(index, need.size))
        stopping = raised_to(found)
        if stopping:
            unmet = sum(_WEIGHTS.get(need.what, 1) for need in stopping)
            self._run.progress += max(1, _STEP - unmet)  # to know what is needed is progress, one need less is more
            raise Unfit(stopping, what)

    def traced(self, found: list[Need]) -> list[tuple[int, Need, tuple[int, ...]]]:
        """Needs with the argument each operand comes from and the operand's shape."""
        traced = []
        for need in found:
            index = self._origins.get(id(need.operand))
            if index is not None:
                traced.append((index, replace(need, operand=None), tuple(need.operand.shape)))
        return traced


def _flat(args: Any) -> Iterator[Any]:
    for each in args:
        if isinstance(each, (tuple, list)):
            yield from _flat(each)
        else:
            yield each
