"""One run of the interpreter: what it has seen, how far it may go, and the frames of the functions being run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from typing import TYPE_CHECKING, Any, TypeVar

from gradsense.program import ir
from gradsense.program.facts import (
    Call,
    Clear,
    Context,
    Fact,
    Forward,
    Holdings,
    Lost,
    Returned,
    Round,
    ScalerCall,
    Step,
    Store,
)
from gradsense.program.lower import lower
from gradsense.program.state import State
from gradsense.program.values import ClassValue, Closure, Code, Instance, Obj, Site, Value, Where
from gradsense.source.blocks import BlockTree

if TYPE_CHECKING:
    from gradsense.program.calls import Summary
    from gradsense.program.cells import Changes
    from gradsense.program.file import File
    from gradsense.program.imports import Imports
    from gradsense.program.recursion import Key, Recursion

F = TypeVar("F")

STEPS = 18_000
"""Statements and calls that one run may follow before it gives up and says nothing; of 1,280 public training files one
needs more."""
DEPTH = 16
"""Calls that may be open at once."""


class Exhausted(Exception):
    """The run's budget is spent: what it has seen is no longer complete."""


class Frame:
    """A function (or module body, or class body) being run."""

    __slots__ = (
        "_context",
        "_sited",
        "_sites",
        "assumable",
        "calls",
        "closure",
        "code",
        "conditions",
        "file",
        "globals",
        "in_forward",
        "keeps",
        "number",
        "outer_conditions",
        "owner",
        "returns",
        "rounds",
        "self_value",
        "tree",
        "wanted",
        "where",
        "yielded",
    )

    def __init__(
        self,
        number: int,
        file: File,
        where: Where,
        tree: BlockTree | None,
        code: Code | None,
        closure: Closure,
        calls: tuple[Site, ...],
        rounds: tuple[Round, ...],
    ) -> None:
        self.number = number
        self.file = file
        self.where = where
        self.tree = tree
        self.code = code
        self.closure = closure
        self.calls = calls
        self.rounds = rounds
        self.self_value: Value | None = None
        self.owner: ClassValue | None = None
        self.conditions = 0
        self.outer_conditions = 0
        """The conditions around the calls down to it."""
        self.globals: set[str] = set()
        self.returns: list[tuple[State, Returned]] = []
        self.in_forward = False
        self.yielded: list[Value] = []
        self.wanted: Set[str] | None = None
        """What somebody wants of a module, where the rest of what it only passes on may be left out."""
        self.keeps = False
        """A nested function or lambda may still need its variables."""
        self.assumable: Counter[tuple[object, ...]] | None = None
        self._context: Context | None = None
        self._sited: Where | None = None
        self._sites: list[Site | None] = []

    def site(self, at: int) -> Site:
        """The site of a node in the block that is being run; the same object for all facts there. Negative numbers,
        which stand for no node, have none to share.
        """
        if self._sited is not self.where:
            self._sited, self._sites = self.where, self.file.sites_at(self.where)
        if not 0 <= at < len(self._sites):
            return Site(self.where, at)
        site = self._sites[at]
        if site is None:
            site = self._sites[at] = Site(self.where, at)
        return site

    def context(self, entry: str) -> Context:
        """How what happens now is reached in a run of `entry`; the same object until that changes. A frame's function
        never does.
        """
        certain, conditions = self.conditions == 0, self.outer_conditions + self.conditions
        known = self._context
        if (
            known is None
            or known.calls is not self.calls
            or known.rounds is not self.rounds
            or known.certain is not certain
            or known.conditions != conditions
            or known.entry != entry
        ):
            known = self._context = Context(self.calls, self.rounds, self.code, entry, certain, conditions)
        return known


class Run:
    """What one run from one entry saw. `imports` resolves names to the user's other files."""

    def __init__(self, imports: Imports, entry: str) -> None:
        self.imports = imports
        self.entry = entry
        self._recorded: dict[tuple[object, ...], Fact] = {}
        self._facts: tuple[Fact, ...] | None = None
        self._by_kind: dict[type, list[Fact]] = {}
        self._by_kinds: dict[tuple[type, ...], list[Fact]] = {}
        self._names_called: frozenset[str] | None = None
        self._here: dict[str, FactsHere] = {}
        self.lost: dict[Site, Lost] = {}
        self.remaining = STEPS
        self.stack: list[Code] = []
        self.frames = 0
        self.kept_frames: dict[tuple[object, ...], list[int]] = {}
        """The numbers of frames that outlive their call, by the call and the loops around it."""
        self.kept_in_round: Counter[tuple[object, ...]] = Counter()
        """How many of each the current round of a loop has had."""
        self.enclosing: set[int] = set()
        """The numbers of frames around a function that made another, which may need their variables, too."""
        self.holdings: dict[Obj, Holdings] = {}
        self.optimizers: dict[Obj, Instance] = {}
        self.reached: set[Code] = set()
        self.wrapped: set[Code] = set()
        """Functions that were called through a decorator which isn't known."""
        self.calling: set[tuple[Site, tuple[Site, ...]]] = set()
        self.module_frames: dict[str, int] = {}
        self.left_out: dict[str, frozenset[str]] = {}
        """What modules pass on and nobody has wanted so far, by path."""
        self.loading: set[str] = set()
        self.gradients_used: set[Site] = set()
        """The `torch.autograd.grad` calls whose results are read."""
        self.gradients_read: dict[Site, frozenset[Obj] | None] = {}
        """Where a parameter's `.grad` is read by the program itself, and of which (None: can't tell)."""
        self.activations_read: set[Site] = set()
        """The activations whose results go into something that is no call of torch's."""
        self.escaped: set[Obj] = set()
        """Objects given to code that is not known."""
        self.copies: dict[Site, tuple[str, str]] = {}
        """Copies of networks, by the call that made them: the file and the name that they were given there at once."""
        self.frozen: set[Obj] = set()
        """Modules and parameters whose `requires_grad` the program sets, to whatever value."""
        self.passed: dict[Site, frozenset[Obj]] = {}
        """What gets a gradient from each backward pass, as it was seen last."""
        self.loaded: set[Obj] = set()
        """Modules and parameters whose values the program sets by other means than training."""
        self.recursions: dict[Key, Recursion] = {}
        """Functions that are being run, and what calls of them from within give."""
        self.recurred = 0
        """How many calls from within there were: what a function gave on the way is not its summary."""
        self.local_classes: dict[Where, ClassValue] = {}
        """Classes that functions define, by their place."""
        self.modes_read: set[Obj] = set()
        """Modules that the program asks itself for their mode (`model.training`)."""
        self.modes_lost = False
        """Something that is not known was switched to some mode."""
        # Most of what is seen is seen in the entry itself: it goes by its site alone.
        self._rounds_at: dict[Site | tuple[Site, tuple[Site, ...]], tuple[Round, ...]] = {}
        """The loops around each event, by its place and the calls down to it."""
        self.inherited: dict[Obj, Holdings] = {}
        """What the optimizers held before the run began."""
        self.token = object()
        """Stands for what the run has seen: it is the same while the run is remembered."""
        self.world: object = None
        """The token of the script from whose end the run began."""
        self.changes: Changes | None = None
        """What the cells of a notebook change for each other, where the run has gone through several."""
        self.end: State | None = None
        """The state in which the run ended."""
        self.muted = 0
        self.reads: dict[tuple[object, ...], object] = {}
        """What the run has looked up outside of itself, and what it found: while all of this stays equal, so does
        everything that the run saw."""
        self.members: dict[tuple[object, ...], tuple[str, Value]] = {}
        """What was found in classes, as `imports` knew them then."""
        self.members_as_of: object = None
        self.summaries: dict[tuple[object, ...], Summary] = {}
        self.outside_reads = 0
        """The outermost frame that something with attributes of its own was read from since a `forward` began."""

    @property
    def own_optimizers(self) -> set[Obj]:
        """The optimizers that the run itself has made, or got from elsewhere."""
        return self.optimizers.keys() - self.inherited.keys()

    def frame_number(self) -> int:
        self.frames += 1
        return self.frames

    def kept_frame_number(self, call: tuple[object, ...]) -> int:
        """The number for a frame that outlives its `call`, told by place and loops around: every later round of a loop
        has the same ones, as it has the same objects. With others in each round no two would end in equal states.
        """
        taken = self.kept_in_round[call]
        self.kept_in_round[call] += 1
        numbers = self.kept_frames.setdefault(call, [])
        if taken == len(numbers):
            numbers.append(self.frame_number())
        return numbers[taken]

    def spend(self, steps: int = 1) -> None:
        self.remaining -= steps
        if self.remaining < 0:
            raise Exhausted

    def spend_on_join(self, states: int, objects: int) -> None:
        """Joining states costs by what they hold: about a step for four hundred objects."""
        self.spend(states * objects // 400)

    def context(self, frame: Frame) -> Context:
        return frame.context(self.entry)

    def record(self, fact: Fact, frame: Frame) -> None:
        """Keep a fact; a later look at the same event, from a larger state, takes its place.

        A call on one of several optimizers or Modules is an event for each.
        """
        self._rounds_at[(fact.site, frame.calls) if frame.calls else fact.site] = frame.rounds
        if not self.muted:
            which: object = None
            if isinstance(fact, Step):
                which = fact.optimizer.obj
            elif isinstance(fact, Clear):
                which = fact.optimizers
            elif isinstance(fact, ScalerCall):
                which = fact.optimizer
            elif isinstance(fact, Forward):
                which = fact.module.obj
            self._recorded[(type(fact), fact.site, frame.calls, frame.rounds, which)] = fact

    def rounds_at(self, site: Site, calls: tuple[Site, ...]) -> tuple[Round, ...] | None:
        """The loops around what was seen last at a site, reached by these calls; None if nothing was."""
        return self._rounds_at.get((site, calls) if calls else site)

    def seen_below_calls(self) -> Iterator[tuple[Site, tuple[Site, ...]]]:
        """The sites at which something was seen in functions that were called, each with the calls."""
        for seen in self._rounds_at:
            if not isinstance(seen, Site):
                yield seen

    @property
    def facts(self) -> Collection[Fact]:
        """All that was seen, in the order in which it was seen first."""
        return self._recorded.values() if self._facts is None else self._facts

    def noted(self) -> dict[str, object]:
        """What the run has come to know so far."""
        return {name: _copied(value) for name, value in vars(self).items() if name not in _ITS_OWN}

    def resume(self, noted: dict[str, object]) -> None:
        """Go on from what a run that began as this one has `noted`."""
        for name, value in noted.items():
            setattr(self, name, _copied(value))

    def finish(self) -> None:
        """Nothing more is recorded: what only a run that goes on needs to know is forgotten."""
        self._facts = tuple(self._recorded.values())
        self._recorded.clear()
        self.summaries.clear()
        self.recursions.clear()
        self.kept_frames.clear()
        self.enclosing.clear()

    def facts_of(self, kind: type[F]) -> list[F]:
        """The facts of a kind, in the order in which they were seen first; for a run that has ended."""
        if not self._by_kind:
            for fact in self.facts:
                self._by_kind.setdefault(type(fact), []).append(fact)
        return self._by_kind.get(kind, [])  # type: ignore[return-value]

    def facts_in_order(self, *kinds: type) -> list[Fact]:
        """The facts of several kinds, in the order in which they were seen first; for a run that has ended."""
        found = self._by_kinds.get(kinds)
        if found is None:
            found = self._by_kinds[kinds] = [fact for fact in self.facts if type(fact) in kinds]
        return found

    def names_called(self) -> frozenset[str]:
        """The names of the calls that were seen (see `facts.Call`); for a run that has ended."""
        if self._names_called is None:
            self._names_called = frozenset([call.name for call in self.facts_of(Call)])
        return self._names_called

    def facts_here(self, path: str) -> FactsHere:
        """The facts with a place in the file `path`; for a run that has ended."""
        found = self._here.get(path)
        if found is None:
            found = self._here[path] = FactsHere(self, path)
        return found

    def let_go(self) -> None:
        """Nobody asks for the run any more: without what refers to it from within, it is gone at once, not when the
        garbage collector comes by.
        """
        self._here.clear()


_ITS_OWN = frozenset({"imports", "entry", "token", "kept_frames", "kept_in_round"})
"""What no other run goes on with. A call that it has made already is another one there, with frames of its own."""


def _copied(value: object) -> object:
    return value.copy() if isinstance(value, (dict, set, list)) else value


class FactsHere:
    """A run's facts with a place in one file, each with the run, in the order in which they were seen first: by kind,
    calls by name, and stores by attribute and by object.

    An analysis puts these lists of its runs together; those of a run that is remembered are there already.
    """

    __slots__ = ("_selected", "by_kind", "calls", "run", "stores", "stores_on")

    def __init__(self, run: Run, path: str) -> None:
        self.run = run
        self._selected: dict[Callable[[FactsHere], Iterable[Any]], tuple[Any, ...]] = {}
        self.by_kind: dict[type, list[tuple[Run, Any]]] = {}
        self.calls: dict[str, list[tuple[Run, Call]]] = {}
        self.stores: dict[str, list[Store]] = {}
        self.stores_on: dict[Obj, list[Store]] = {}
        for fact in run.facts:
            if fact.site.where.path != path:
                continue
            seen = run, fact
            self.by_kind.setdefault(type(fact), []).append(seen)
            if isinstance(fact, Call):
                self.calls.setdefault(fact.name, []).append(seen)  # type: ignore[arg-type]
            elif isinstance(fact, Store):
                self.stores.setdefault(fact.attr, []).append(fact)
                if isinstance(fact.receiver, Instance):
                    self.stores_on.setdefault(fact.receiver.obj, []).append(fact)

    def facts(self, kind: type[F]) -> list[tuple[Run, F]]:
        """The facts of a kind, each with the run."""
        return self.by_kind.get(kind, [])

    def is_statement(self, site: Site) -> bool:
        """Whether the expression at a site of the file is a statement by itself. While the run is remembered, so is
        the block that it has run.
        """
        found = self.run.imports.files[site.where.path].block_at(site.where)
        return found is not None and site.at in lower(found[1]).expression_statements

    def selected(self, select: Callable[[FactsHere], Iterable[F]]) -> tuple[F, ...]:
        """What `select` gives for these facts, worked out once: it must look at nothing else."""
        found = self._selected.get(select)
        if found is None:
            found = self._selected[select] = tuple(select(self))
        return found


def statements_of(frame: Frame, body: ir.Body) -> Iterable[tuple[Where, BlockTree | None, tuple[ir.Stmt, ...]]]:
    """The statements of a body with the block that each belongs to."""
    if not isinstance(body, ir.Slot):
        yield frame.where, frame.tree, body
        return
    assert frame.tree is not None
    where = frame.where
    for number, (_, child) in enumerate(frame.tree.suites[body.number].children):
        lowered = lower(child)
        if lowered.statements:
            yield (
                Where(where.path, where.unit, (*where.steps, body.number, number)),
                child,
                lowered.statements,
            )
