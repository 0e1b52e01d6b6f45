"""Functions that call themselves, by themselves or through others: solved together, to a fixpoint.

While a function is being run, a call of it that comes from within gives what the pass before has found: nothing at
first (the ways that don't recur), then the join of what these lead to, until a pass finds nothing new. So the result
does not depend on which of several functions that call each other was asked first.
"""

from __future__ import annotations

from gradsense.program import calls, training
from gradsense.program.run import Frame, Run
from gradsense.program.state import State
from gradsense.program.values import NONE, UNKNOWN, FunctionValue, Instance, Keywords, Obj, Value, join

_MOST_PASSES = 4

Key = tuple[object, Obj | None]


class Recursion:
    """A function that is being solved. `entry` and `args`: what the calls from within come with; `end` and `value`:
    what the last pass has found; `met`: whether there was such a call at all.
    """

    __slots__ = ("args", "end", "entry", "gives_up", "met", "value")

    def __init__(self, args: tuple[Value, ...]) -> None:
        self.args = args
        self.entry: State | None = None
        self.end: State | None = None
        self.value: Value = NONE
        self.met = False
        self.gives_up = False


def key_of(function: FunctionValue) -> Key:
    """The same function on another object (a block within a block) is no recursion."""
    own = function.self_value
    return function.code, own.obj if isinstance(own, Instance) else None


def solve(
    run: Run, frame: Frame, state: State, function: FunctionValue, args: tuple[Value, ...], keywords: Keywords, at: int
) -> Value:
    """Run a function on `state`, once where it does not call itself, else until nothing new is found."""
    key = key_of(function)
    open_recursion = run.recursions.get(key)
    if open_recursion is not None:
        return _from_within(run, state, open_recursion, function, args, keywords)
    recursion = run.recursions[key] = Recursion(args)
    try:
        for _ in range(_MOST_PASSES):
            trial = state.copy() if recursion.entry is None else _joined_entry(state, recursion.entry)
            value = calls.run_function(run, frame, trial, function, recursion.args, keywords, at)
            if not recursion.met or not _found_more(recursion, trial, value):
                break
        else:
            recursion.gives_up = True
        if recursion.met and (recursion.gives_up or trial.dead):
            recursion.gives_up = True
            trial = state.copy()
            value = calls.run_function(run, frame, trial, function, args, keywords, at)
    finally:
        del run.recursions[key]
    state.become(trial)
    return value


def _from_within(
    run: Run, state: State, recursion: Recursion, function: FunctionValue, args: tuple[Value, ...], keywords: Keywords
) -> Value:
    recursion.met = True
    run.recurred += 1
    if recursion.gives_up:
        training.unknown_code(run, state, (*args, *(v for _, v in keywords), function.self_value or NONE))
        return UNKNOWN
    recursion.entry = state.copy() if recursion.entry is None else _joined_entry(recursion.entry, state)
    recursion.args = _joined_args(recursion.args, args)
    if recursion.end is None:
        state.dead = True
        return NONE
    frames = state.frames
    state.become(recursion.end.copy())
    state.frames = frames
    return recursion.value


def _joined_entry(state: State, other: State) -> State:
    """A state for both, with the variables of the first: those of the frames in between mean nothing to the callee."""
    joined = state.joined(other)
    joined.frames = state.frames.copy()
    return joined


def _joined_args(left: tuple[Value, ...], right: tuple[Value, ...]) -> tuple[Value, ...]:
    if len(left) != len(right):
        return tuple(UNKNOWN for _ in left)
    return tuple(join(a, b) for a, b in zip(left, right, strict=True))


def _found_more(recursion: Recursion, end: State, value: Value) -> bool:
    """Take over what a pass has found; whether it is more than the one before had."""
    if end.dead:
        return False
    if recursion.end is not None and recursion.value == value and _same(recursion.end, end):
        return False
    recursion.end, recursion.value = end.copy(), value
    return True


def _same(left: State, right: State) -> bool:
    return left.gradients == right.gradients and left.grad == right.grad and left.heap.same_as(right.heap)
