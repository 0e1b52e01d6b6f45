"""What the interpreter saw: one record for each event, each way of getting there, first round and later ones apart."""

from __future__ import annotations

import enum
from typing import NamedTuple

from gradsense.program.frozen import by_content
from gradsense.program.values import NOTHING, Code, Cut, Instance, Keywords, Obj, Parameters, Site, Value


class Gradients(enum.Enum):
    """The state of the gradients that an optimizer would use."""

    NONE = "no gradient yet"
    CLEARED = "cleared"
    LOST = "computed, then cleared"
    FRESH = "fresh"
    PILED = "piled up"
    """Several backward passes, none of them used yet."""
    USED = "used"
    REUSED = "used, then added to"
    """A backward pass has added to what a step had used already."""
    UNKNOWN = "unknown"


class GradState(NamedTuple):
    """One possible state of an optimizer's gradients, and the events that led to it.

    `backward` is the last pass, `earlier` are others before it that have added to what no step has used yet. `by` tells
    who cleared: `optimizer`, `module` or `hand`.
    """

    kind: Gradients
    backward: Site | None = None
    clear: Site | None = None
    by: str = ""
    earlier: frozenset[Site] = frozenset()


def places_of(state: GradState) -> tuple[Site | tuple[()], Site | tuple[()]]:
    """The places of a state's events, by which several have an order: a set has another in each process."""
    return state.backward or (), state.clear or ()


class Mode(NamedTuple):
    """A mode that a Module may be in, and the call that put it there.

    `kind` is `train`, `eval`, `start` (as it was made, or as the run found it) or `unknown`. `of` is the Module whose
    `train()` or `eval()` it was, `calls` the calls down to it. `woke`: the `eval()` of a part alone that a `train()` of
    the whole has undone, and the calls down to that.
    """

    kind: str
    site: Site | None = None
    calls: tuple[Site, ...] = ()
    of: Obj | None = None
    woke: tuple[Site, tuple[Site, ...]] | None = None


class Round(NamedTuple):
    """A loop being run: its first round, or any later one. `over` says what a `for` loop goes over:
    `parameters`, `literal`, `data`, `range`, `while` or `other`."""

    site: Site
    later: bool
    over: str
    conditions: int = 0
    """How many conditions stand around the loop, those of the calls down to it included."""


class Context(NamedTuple):
    """How an event is reached: the calls down to it, the loops around it (outermost first), the function it is in."""

    calls: tuple[Site, ...]
    rounds: tuple[Round, ...]
    function: Code | None
    entry: str
    """The name of the entry that the run began with: `Class.method`, `function`, or empty for the module's body."""
    certain: bool
    """No condition around it within its function, loops and `with` aside."""
    conditions: int = 0
    """How many conditions stand around it, those of the calls down to it included."""

    @property
    def in_later_round(self) -> bool:
        """Whether some loop around the event is past its first round."""
        return any(r.later for r in self.rounds)


@by_content
class Holdings:
    """Which parameters an optimizer holds: modules (their own parameters) and single parameters.

    `open`: it may hold more. `whole`: modules covered with all their descendants. `groups`: the same per group. `of`:
    the one Module whose parameters these are, all of them, known or not.
    """

    sources: frozenset[Obj]
    open: bool
    whole: frozenset[Obj]
    groups: tuple[frozenset[Obj], ...] = ()
    partial: bool = False
    of: Obj | None = None


class Need(NamedTuple):
    """What the graph behind a layer's call needs for its backward pass: the weights as they were in the call.

    `stepped`: the step that has changed some of them since, `changed`.
    """

    weights: frozenset[Obj]
    stepped: Site | None = None
    changed: frozenset[Obj] = NOTHING


class Replacement(NamedTuple):
    """Parameters that an optimizer holds were replaced: `lost` are no longer used, `new` are in their place.

    `new` is empty where the same modules got new parameters (`weight_norm`, `load_state_dict(assign=True)`).
    """

    site: Site
    how: str
    lost: frozenset[Obj]
    new: frozenset[Obj]
    calls: tuple[Site, ...] = ()
    """The calls down to it."""
    dropped: bool = False
    """Nothing in the program holds the network any more that the parameters are of: no loss reaches them."""


def argument_of(args: tuple[Value, ...], keywords: Keywords, position: int, keyword: str) -> Value | None:
    """The argument of a call that is given at `position` or by `keyword`."""
    if position < len(args):
        return args[position]
    return next((value for name, value in keywords if name == keyword), None)


class Call(NamedTuple):
    """A call of something from outside the user's files, by canonical name.

    Functions: `torch.tensor`. Methods: `Tensor.detach`, `Module.eval`, `Optimizer.step`, `Lightning.log`,
    `Parameters.…`, by the kind of their receiver.
    """

    site: Site
    context: Context
    name: str
    receiver: Value | None
    args: tuple[Value, ...]
    keywords: Keywords
    result: Value

    def argument(self, position: int, keyword: str) -> Value | None:
        """The argument given at `position` or by `keyword`."""
        return argument_of(self.args, self.keywords, position, keyword)


class Step(NamedTuple):
    """`optimizer.step(...)`, and the states that the gradients may be in then. `scaler`: stepped through one."""

    site: Site
    context: Context
    optimizer: Instance
    states: frozenset[GradState]
    closure: Value | None
    scaler: Obj | None = None
    replaced: frozenset[Replacement] = frozenset()
    """What it holds that the program has put something else in the place of, on every path."""
    scaled: Obj | None = None
    """The scaler that still has to unscale the gradients, on every path."""


class Backward(NamedTuple):
    """Gradients are computed. `how` is the method's or function's name."""

    site: Site
    context: Context
    value: Value
    how: str
    optimizers: frozenset[Obj]
    """The known optimizers that get a gradient."""
    retains: bool | None = False
    """Whether the graph is kept (None: can't tell)."""
    stepped: Site | None = None
    """A step that has changed weights which this pass needs as they were in the forward pass, on every path."""


class Clear(NamedTuple):
    """Gradients are cleared; `by` is `optimizer`, `module` or `hand`. `possible`: other optimizers of which some
    gradients, or maybe some, are cleared too.
    """

    site: Site
    context: Context
    optimizers: frozenset[Obj]
    by: str
    possible: frozenset[Obj] = frozenset()


class Clip(NamedTuple):
    """Gradients are clipped; `states` are those of each known optimizer over the clipped parameters."""

    site: Site
    context: Context
    sources: frozenset[Obj]
    open: bool
    states: tuple[tuple[Obj, frozenset[GradState]], ...]
    scaled: tuple[tuple[Obj, Obj], ...] = ()
    """Optimizers whose gradients are still scaled, and by which scaler."""
    possible: tuple[tuple[Obj, frozenset[GradState]], ...] = ()
    """Where no optimizer is known to be over the clipped parameters: those that may be."""


class Build(NamedTuple):
    """An optimizer is built."""

    site: Site
    context: Context
    optimizer: Instance
    holdings: Holdings
    params: Value
    keywords: Keywords
    modules_in_loop: bool
    """Some of what it holds was made (or may have been) in the innermost loop that it is built in."""


class Store(NamedTuple):
    """`receiver.attr = value` on an object of the program; `old` is what was there before (None: nothing).

    Also `group["lr"] = value`, for an optimizer's parameter groups, its `defaults` and the groups of its state dict:
    the receiver is then a `Collection` whose part is `group`, `defaults` or `copied group`.
    """

    site: Site
    context: Context
    receiver: Value
    attr: str
    value: Value
    old: Value | None


class Make(NamedTuple):
    """A Module (of torch.nn or the user's) is made."""

    site: Site
    context: Context
    instance: Instance
    args: tuple[Value, ...]
    keywords: Keywords
    in_forward: bool


class Forward(NamedTuple):
    """A Module is called. `grad` is whether gradients are recorded, `switch` the line that switched them off, `modes`
    what modes the Module may be in, `woken` those of its parts that were put into eval mode alone, and out of it since.
    """

    site: Site
    context: Context
    module: Instance
    grad: bool | None
    switch: Site | None
    result: Value
    args: tuple[Value, ...] = ()
    keywords: Keywords = ()
    modes: frozenset[Mode] = frozenset()
    woken: tuple[tuple[Obj, Mode], ...] = ()

    def argument(self, position: int, keyword: str) -> Value | None:
        """The argument given at `position` or by `keyword`."""
        return argument_of(self.args, self.keywords, position, keyword)


class Switch(NamedTuple):
    """`module.train()` or `module.eval()`; `training` is None for a mode that can't be told. `switch` is the line that
    switched gradients off, where it runs without.
    """

    site: Site
    context: Context
    module: Instance
    training: bool | None
    switch: Site | None


class Local(NamedTuple):
    """A local variable is given a tensor, or a tuple with one, that something trained takes part in, or may."""

    site: Site
    context: Context
    name: str
    value: Value


class InPlace(NamedTuple):
    """A tensor, or a parameter while looping over them, is changed in place. `how` is the operator or method; `grad`
    is whether gradients are recorded.
    """

    site: Site
    context: Context
    value: Value
    how: str
    grad: bool | None


class ScalerStage(enum.Enum):
    """Where a gradient scaler is with an optimizer: each of `unscale_` and `step` may come once before `update`."""

    READY = "ready"
    UNSCALED = "unscaled"
    STEPPED = "stepped"
    UNKNOWN = "unknown"


@by_content
class ScalerCall:
    """A scaler's `unscale_`, `step` (each with an optimizer) or `update` (None); `stages`: where it may be before it.

    A scaler that is switched off for certain makes no such record: its methods pass everything on.
    """

    site: Site
    context: Context
    scaler: Instance
    method: str
    optimizer: Obj | None
    stages: frozenset[ScalerStage] = frozenset()


@by_content
class UsedUp:
    """Something (`by`: `optimizer`, `clip`, `loop`, `comprehension`, or a builtin's name) goes through an iterator over
    parameters that something else went through at `earlier`: it finds nothing.
    """

    site: Site
    context: Context
    parameters: Parameters
    earlier: Site
    by: str


@by_content
class SchedulerStep:
    """`scheduler.step(...)`; `optimizers` are those that it is known to drive."""

    site: Site
    context: Context
    scheduler: Instance
    optimizers: frozenset[Obj]
    args: tuple[Value, ...]


@by_content
class Uncalled:
    """A method or class stands where only a call of it has an effect. `how`: alone on its line (`statement`), behind
    `with`, or as what a loop goes over (`loop`).
    """

    site: Site
    context: Context
    value: Value
    how: str


@by_content
class Outer:
    """One tensor is subtracted from another, each number of the one from each of the other: `(N, 1)` against `(N,)`."""

    site: Site
    context: Context
    left: Value
    right: Value


Fact = (
    Local
    | InPlace
    | Call
    | Step
    | Backward
    | Clear
    | Clip
    | Build
    | Store
    | Make
    | Forward
    | Switch
    | Uncalled
    | Outer
    | ScalerCall
    | SchedulerStep
    | UsedUp
)


class Returned(NamedTuple):
    """A way out of a function: the value, and the `return` (None where its end is reached)."""

    site: Site | None
    value: Value
    explicit: bool
    """There is a `return`, a bare one included: it is meant, or still being typed."""
    optimizers: tuple[tuple[Obj, frozenset[GradState]], ...] = ()


@by_content
class Lost:
    """A stretch of the program that a run could not follow: broken code, an exhausted budget."""

    site: Site
    why: str
    cuts: frozenset[Cut] = frozenset()
