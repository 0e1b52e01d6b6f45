"""Abstract values: what an expression may be, as far as training is concerned.

Every value is immutable and compared by content; what changes (attributes, list items) lives in the `State` under an
object's identity. `UNKNOWN` is the top: it may be anything.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import field
from typing import Any, NamedTuple, TypeVar

from gradsense.program.frozen import by_content, by_identity
from gradsense.program.knowledge.functions import keeps_its_result

NOTHING: frozenset[Any] = frozenset()
"""The empty set: `frozenset()` makes another one of 216 bytes each time, and facts hold tens of thousands."""


class Where(NamedTuple):
    """A block within a file: its top-level statement, then child numbers downwards.

    `unit` names the top-level definition (`Net`, a second one `Net#1`), or is empty for a plain statement, whose
    number is then the path's first.
    """

    path: str
    unit: str
    steps: tuple[int, ...]


class Site(NamedTuple):
    """A node of a block: `at` numbers it in the block's event tree."""

    where: Where
    at: int


class Obj(NamedTuple):
    """The identity of an object: where it was made, through which calls, and which of several."""

    site: Site
    calls: tuple[Site, ...]
    part: str = ""


class Kind(enum.Enum):
    """What an object is to a training program."""

    MODULE = "module"
    LIGHTNING = "lightning module"
    OPTIMIZER = "optimizer"
    SCHEDULER = "scheduler"
    SCALER = "scaler"
    DATA = "data"
    DISTRIBUTION = "distribution"
    ENGINE = "engine"
    """Runs the training itself: Trainer, Fabric, Accelerator, DeepSpeed engine."""
    OTHER = "other"


class Unknown(NamedTuple):
    """May be anything. `data`: but comes from where nothing trained was, so it leads back to no parameter."""

    data: bool = False

    def __repr__(self) -> str:
        return "PLAIN" if self.data else "UNKNOWN"


UNKNOWN = Unknown()
PLAIN = Unknown(True)


@by_content
class Const:
    """A constant of the program."""

    value: object


@by_content
class Member:
    """A member of an enumeration, as a constant: what tells it from others is where that is defined, and its name."""

    enumeration: Where
    name: str
    value: Value


@by_content
class Ref:
    """Something from outside the user's files, by its canonical dotted name."""

    name: str


class Cut(NamedTuple):
    """Where a gradient was lost.

    `how` is the operation in the user's words (`detach`, `item`, `no_grad`, `torch.tensor` ...); `switch` is the line
    that switched gradients off, for `no_grad`.
    """

    how: str
    site: Site
    sources: frozenset[Obj]
    switch: Site | None = None


class Carrier(NamedTuple):
    """The variable (or attribute of `owner`) by which a graph came from a loop's last round into this one.

    `freed`: the backward pass of that round which went through the graph and freed it; None if none did for certain.
    """

    loop: Site
    name: str
    owner: Obj | None
    freed: Site | None


class Trace(NamedTuple):
    """The graph behind a tensor, as far as it is the same on every way to it.

    `nodes`: the calls of layers in this loop round that it went through. `carried`: how a part of it came from an
    earlier round. `changed`: in-place changes, on the way, of results that the functions which gave them still need.
    """

    nodes: frozenset[Obj] = NOTHING
    carried: frozenset[Carrier] = NOTHING
    changed: frozenset[Site] = NOTHING

    def with_(self, other: Trace) -> Trace:
        """The graph of what depends on both."""
        if other is NO_TRACE or other is self:
            return self
        if self is NO_TRACE:
            return other
        return Trace(
            united(self.nodes, other.nodes), united(self.carried, other.carried), united(self.changed, other.changed)
        )

    def common(self, other: Trace) -> Trace:
        """What is certain of a tensor that may be either."""
        if other is self or self == other:
            return self
        if self is NO_TRACE or other is NO_TRACE:
            return NO_TRACE
        return Trace(
            self.nodes & other.nodes or NOTHING,
            self.carried & other.carried or NOTHING,
            self.changed & other.changed or NOTHING,
        )


NO_TRACE = Trace()


class Activation(NamedTuple):
    """The last operation on a tensor's values, where it tells in what range they lie.

    `kind`: see `knowledge/activations.py`. `site`: the call; `layer`: the Module that was called, if it was one.
    `axis`: the axis that it is taken over, if a constant tells; `axis_given`: whether one is given at all.
    `inner`: the softmax that a logarithm is of. `axis_before`: of a tensor that was indexed since (`x[mask]`), the axis
    as it was numbered until then.
    """

    kind: str
    site: Site
    layer: Obj | None = None
    axis: int | None = None
    axis_given: bool = False
    inner: Site | None = None
    axis_before: int | None = None


Axis = int | None
"""An axis's length; None if it isn't told."""
MANY = -1
"""The length of an axis that is as long as the batch: a number that the code doesn't tell, and no 1 as a rule."""


class Shape(NamedTuple):
    """The lengths of a tensor's last axes. `open`: there may be others before them. `arranged`: the program itself has
    given the tensor an axis (`unsqueeze`, `view`, `[:, None]`), so that it may be meant to be broadcast.
    """

    axes: tuple[Axis, ...]
    open: bool = False
    arranged: bool = False


class Mark(NamedTuple):
    """What a tensor was made by that its sources don't tell.

    `kind` is `score` (the log-probability of a value that no gradient goes through), `weighed` (a score times
    something that a gradient goes through: `sources` are that one's, operand `number`), `bootstrap` (data plus a
    multiple of what networks give: a return, as a rule), `difference` (a bootstrap, operand `number`, less what the
    same networks give, or the other way round), `compared` (how large such a difference is: a square, a loss), `ratio`
    (the difference of two scores of the same policy), `unscored` (something and a term, operand `number`, that only
    depends on samples of what is `behind`), `chosen` (what `sources` gave for the very action that was sampled of them:
    its probability, or the logarithm of that), `encoded` (one-hot vectors of what was sampled of what is `behind`), or
    `share` (parameters times the constant `number`, or a number that the caller decides). `behind`: what it depends on
    without a gradient.
    """

    kind: str
    site: Site
    sources: frozenset[Obj]
    behind: frozenset[Obj] = NOTHING
    number: float = 0


class Tensor(NamedTuple):
    """A tensor (or a number made of one).

    `sources`: modules and parameters that get a gradient through it. `cuts`: what it depends on without a gradient,
    and why. `requires`: whether it requires a gradient (None: can't tell). `open`: it may depend on more than is
    known here. `leaf`: the call that made it a leaf of the user's (`torch.tensor(...)`), for what is no parameter.
    `parameter`: the parameter that it is. `python`: it has left torch (`item`, `float`, `numpy`).
    """

    sources: frozenset[Obj] = NOTHING
    cuts: frozenset[Cut] = NOTHING
    requires: bool | None = None
    open: bool = False
    leaf: Site | None = None
    parameter: Obj | None = None
    scaler: Obj | None = None
    python: bool = False
    gradients: frozenset[Site] = NOTHING
    """The `torch.autograd.grad` calls that it holds results of."""
    made_by: str = ""
    """The canonical name of the function or layer class whose direct result it is."""
    data: bool = False
    """It comes from data alone: nothing trained reaches it."""
    trace: Trace = NO_TRACE
    needed: bool = False
    """It is the very result that the function which gave it keeps for its gradient (`sigmoid`, `exp`)."""
    activations: frozenset[Activation] = NOTHING
    """What the last operation on its values was, one of these for certain; empty: can't tell."""
    shape: Shape | None = None
    marks: frozenset[Mark] = NOTHING


@by_content
class Instance:
    """An object of a known class. `type` is a `ClassValue` or the class's `Ref`."""

    obj: Obj
    type: ClassValue | Ref
    kind: Kind


@by_content
class Items:
    """A list's, dict's or set's content: `exact` while every item is known, `element` their join."""

    exact: tuple[Value, ...] | None
    element: Value
    keys: tuple[object, ...] | None = None


@by_content
class Collection:
    """A list, set or dict; its `Items` stand in the state."""

    obj: Obj
    kind: str


@by_content
class TupleValue:
    """A tuple; `fields` are the names of a named one's items."""

    items: tuple[Value, ...]
    fields: tuple[str, ...] = ()


class Parameters(NamedTuple):
    """Parameters of modules: what `m.parameters()` or a list of tensors gives, or one of them while looping.

    `sources`: modules (their own parameters) and single parameters. `open`: may hold more. `whole`: the modules that
    it covers entirely. `shape` is `iterator` (used up once), `list`, `element`, `pair` (of `named_parameters`) or
    `gradient` (an element's `.grad`). `partial`: a filter or slice left some out.
    """

    sources: frozenset[Obj]
    open: bool = False
    whole: frozenset[Obj] = NOTHING
    shape: str = "iterator"
    partial: bool = False
    site: Site | None = None
    calls: tuple[Site, ...] = ()
    """The calls down to where an iterator was made."""
    of: Obj | None = None
    """The Module or optimizer that these are all parameters of, those that are not known here included."""


@by_content
class Parts:
    """The Modules below a Module, itself included (`module.modules()`), or one of them while looping.

    `shape` is `iterator`, `pairs` (of `named_modules`) or `element`; `classes` the canonical names of the classes that
    a condition restricts an element to.
    """

    module: Instance
    shape: str = "iterator"
    classes: frozenset[str] = NOTHING


@by_content
class Method:
    """A bound method of something from outside the user's files."""

    receiver: Value
    name: str


@by_identity
class Code:
    """A function's definition: its event tree, the block tree around it, and where that stands."""

    name: str
    node: object
    tree: object
    where: Where
    owner: str = ""
    """The qualified name of the class that it is defined in."""

    @property
    def site(self) -> Site:
        return Site(self.where, self.node.at)  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Code)
            and self.node is other.node
            and self.tree is other.tree
            and self.where == other.where
        )

    def __hash__(self) -> int:
        return id(self.node)  # equal texts share a node: few do


@by_content
class FunctionValue:
    """A function of the user's, or a method of theirs bound to `self_value`."""

    code: Code
    closure: Closure = field(compare=False)
    self_value: Value | None = None
    decorators: tuple[str, ...] = ()
    owner: ClassValue | None = field(default=None, compare=False)


@by_identity
class Closure:
    """What a function sees from where it is defined: the enclosing frames' numbers, innermost first, and the path of
    the file.
    """

    path: str
    frames: tuple[int, ...] = ()


@by_identity
class ClassValue:
    """A class of the user's. `members` are what its body binds; `bases` the values of its base expressions.

    `complete` is False if a part of the class could not be read (a hole) or a base is unknown.
    """

    name: str
    code: Code
    bases: tuple[Value, ...]
    members: dict[str, Value]
    holes: frozenset[str]
    """Names that broken code in the body would define or mentions."""
    broken: bool

    def __eq__(self, other: object) -> bool:
        """The same class, although its members may have been edited: whoever looks at a member reads that."""
        return self is other or (
            isinstance(other, ClassValue)
            and self.code.where == other.code.where
            and self.name == other.name
            and self.bases == other.bases
            and self.broken == other.broken
            and self.holes == other.holes
        )

    def __hash__(self) -> int:
        return hash(self.name)  # which a string knows; few classes share one


@by_content
class Partial:
    """`functools.partial(function, ...)` and the like."""

    function: Value
    args: tuple[Value, ...]
    keywords: Keywords


@by_content
class Super:
    """`super()` inside a method: the class that it stands in and the object."""

    owner: ClassValue
    self_value: Value


@by_content
class LambdaValue:
    node: object
    where: Where
    closure: Closure = field(compare=False)


@by_identity
class Choice:
    """One of a few different values, in the order in which the program meets them."""

    options: tuple[Value, ...]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Choice)
            and len(self.options) == len(other.options)
            and all(option in other.options for option in self.options)
        )

    def __hash__(self) -> int:
        return hash(frozenset(self.options))


Value = (
    Unknown
    | Const
    | Ref
    | Tensor
    | Instance
    | Collection
    | TupleValue
    | Parameters
    | Parts
    | Method
    | FunctionValue
    | ClassValue
    | Partial
    | Super
    | LambdaValue
    | Choice
)

Keywords = tuple[tuple[str, Value], ...]
"""The arguments of a call that are given by name."""

NONE = Const(None)
DATA = Tensor(requires=False, data=True)
NUMBER = Tensor(requires=False, data=True, python=True)
_MOST_OPTIONS = 4
_MOST_LAYERS = 12
"""The same for the layers that a list is filled with."""


def join(left: Value, right: Value) -> Value:
    """The least value that stands for both."""
    if left is right or left == right:
        return left
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return PLAIN if is_plain(left) and is_plain(right) else UNKNOWN
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return join_tensors(left, right)
    if isinstance(left, Parameters) and isinstance(right, Parameters) and left.shape == right.shape:
        return left._replace(
            sources=united(left.sources, right.sources),
            open=left.open or right.open,
            whole=left.whole & right.whole,
            partial=left.partial or right.partial,
            of=left.of if left.of == right.of else None,
        )
    if isinstance(left, TupleValue) and isinstance(right, TupleValue) and len(left.items) == len(right.items):
        items = tuple(join(a, b) for a, b in zip(left.items, right.items, strict=True))
        return TupleValue(items, left.fields if left.fields == right.fields else ())
    options: list[Value] = []
    for option in (*options_of(left), *options_of(right)):
        if isinstance(option, Tensor):
            at = next((i for i, other in enumerate(options) if isinstance(other, Tensor)), None)
            if at is not None:
                options[at] = join_tensors(options[at], option)  # type: ignore[arg-type]
                continue
        if option not in options:
            options.append(option)
    layers = all(isinstance(option, Instance) and option.kind is Kind.MODULE for option in options)
    if len(options) > (_MOST_LAYERS if layers else _MOST_OPTIONS):
        return UNKNOWN
    return options[0] if len(options) == 1 else Choice(tuple(options))


def is_plain(value: Value) -> bool:
    """Whether `value` is a constant, a number or data: nothing that a gradient goes through."""
    if isinstance(value, Tensor):
        return value.data and not value.sources and not value.cuts
    if isinstance(value, TupleValue):
        return all(is_plain(item) for item in value.items)
    return isinstance(value, (Const, Ref)) or value == PLAIN


def options_of(value: Value) -> tuple[Value, ...]:
    """The values that `value` stands for: itself, or each of a choice's."""
    return value.options if isinstance(value, Choice) else (value,)


def join_tensors(left: Tensor, right: Tensor) -> Tensor:
    """A tensor that may be either."""
    return Tensor(
        sources=united(left.sources, right.sources),
        cuts=united(left.cuts, right.cuts),
        requires=left.requires if left.requires == right.requires else None,
        open=left.open or right.open,
        leaf=left.leaf if left.leaf == right.leaf else None,
        parameter=left.parameter if left.parameter == right.parameter else None,
        scaler=left.scaler if left.scaler == right.scaler else None,
        python=left.python and right.python,
        gradients=united(left.gradients, right.gradients),
        made_by=left.made_by if left.made_by == right.made_by else "",
        data=left.data and right.data,
        trace=left.trace.common(right.trace),
        needed=left.needed and right.needed,
        activations=_joined_activations(left.activations, right.activations),
        shape=_joined_shapes(left.shape, right.shape),
        marks=united(left.marks, right.marks),
    )


def _joined_shapes(left: Shape | None, right: Shape | None) -> Shape | None:
    if left == right or left is None or right is None:
        return left if left == right else None
    if left.open != right.open or len(left.axes) != len(right.axes):
        return None
    axes = tuple(a if a == b else None for a, b in zip(left.axes, right.axes, strict=True))
    return Shape(axes, left.open, left.arranged or right.arranged)


E = TypeVar("E")


def united(left: frozenset[E], right: frozenset[E]) -> frozenset[E]:
    """Both sets in one; one of the two, where that has everything."""
    if left >= right:
        return left
    return right if left <= right else left | right


def _joined_activations(left: frozenset[Activation], right: frozenset[Activation]) -> frozenset[Activation]:
    if left == right:
        return left
    both = left | right
    return both if left and right and len(both) <= _MOST_OPTIONS else NOTHING


def combine(operands: Iterable[Value], made_by: str = "") -> Value:
    """The result of a differentiable operation on `operands` (tensors, numbers, unknowns)."""
    operands = tuple(operands)
    sources: frozenset[Obj] = NOTHING
    cuts: frozenset[Cut] = NOTHING
    gradients: frozenset[Site] = NOTHING
    requires: bool | None = False
    is_open = False
    tensor = False
    python = data = True
    scaler: Obj | None = None
    trace = NO_TRACE
    marks: frozenset[Mark] = NOTHING
    for operand in operands:
        if isinstance(operand, Tensor):
            tensor = True
            sources = united(sources, operand.sources)
            cuts = united(cuts, operand.cuts)
            gradients = united(gradients, operand.gradients)
            is_open = is_open or operand.open
            python = python and operand.python
            data = data and operand.data
            scaler = scaler or operand.scaler
            trace = trace.with_(operand.trace)
            marks = united(marks, operand.marks)
            if operand.requires:
                requires = True
            elif operand.requires is None and requires is False:
                requires = None
        elif isinstance(operand, Parameters):
            tensor = True
            python = data = False
            sources = united(sources, operand.sources)
            is_open = is_open or operand.open
            requires = requires or (True if operand.shape != "gradient" else requires)
        elif not isinstance(operand, (Const, Ref)) and operand != PLAIN:
            is_open = True
            data = False
            if requires is False:
                requires = None
    if not tensor:
        return PLAIN if operands and all(is_plain(operand) for operand in operands) else UNKNOWN
    return Tensor(
        sources,
        cuts,
        requires,
        is_open,
        None,
        None,
        scaler,
        python,
        gradients,
        made_by,
        data and not sources,
        trace,
        keeps_its_result(made_by),
        marks=marks,
    )
