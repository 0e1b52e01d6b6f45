"""The program of one file: its runs, its classes, and the facts that the rules ask for."""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import libcst as cst

from gradsense.config import Settings
from gradsense.findings import Span
from gradsense.program import (
    calls,
    class_lookup,
    containers,
    definitions,
    duck_types,
    hidden,
    ir,
    methods,
    quiet,
    shapes,
    statements,
    training,
)
from gradsense.program.assigned import assigned_attributes
from gradsense.program.facts import Call, Gradients, GradState, Holdings, Lost, Mode, Returned, Store
from gradsense.program.file import TELLING_NAMES, File
from gradsense.program.imports import Imports, run_cells_again, run_module
from gradsense.program.knowledge import lightning_hooks
from gradsense.program.knowledge.functions import GRAD_MODES
from gradsense.program.lower import lower
from gradsense.program.memory import memory_of, remember
from gradsense.program.run import STEPS, Exhausted, FactsHere, Frame, Run
from gradsense.program.state import NO_GRADIENTS, UNKNOWN_GRADIENTS, State
from gradsense.program.values import (
    PLAIN,
    UNKNOWN,
    Choice,
    ClassValue,
    Closure,
    Code,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Kind,
    Member,
    Method,
    Obj,
    Ref,
    Site,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    Where,
    join,
)
from gradsense.snapshot import SourceFile
from gradsense.source.blocks import Block, BlockTree
from gradsense.source.notebook import pinned_in_cells

F = TypeVar("F")
K = TypeVar("K")
R = TypeVar("R")

_LOOP = re.compile(r"^[ \t]+(?:for|while)\b", re.MULTILINE)
_LIGHTNING = frozenset({"lightning", "pytorch-lightning"})

_LOADERS = {"training_step": (1, "train_dataloaders"), "validation_step": (2, "val_dataloaders")}
"""Where `fit` takes the loader whose batches a hook gets."""
_BUDGETS = STEPS, 6_000, 1_000
"""The steps that a run may take where none of the file has given up before, where one has, and where several have."""

_TRAINING_NAMES = frozenset(
    """backward step zero_grad optim Optimizer optimizer optimizers parameters named_parameters requires_grad
    requires_grad_ add_param_group load_state_dict loss criterion autograd""".split()
)


_DRIVING_NAMES = frozenset("backward manual_backward step zero_grad optim optimizer optimizers training_step".split())


class Place(NamedTuple):
    """A node in the file: its libcst node, its block, and where that block begins in the file's text."""

    node: cst.CSTNode
    block: Block
    where: Where
    offset: int
    tree: object

    def span_of(self, node: cst.CSTNode) -> Span | None:
        """Where a node of the same block is in the file's text."""
        span = self.block.span_of(node)
        if span is None:
            return None
        to_text, end_to_text = self.tree.to_text, self.tree.end_to_text  # type: ignore[attr-defined]
        return Span(self.offset + to_text(span.start), self.offset + end_to_text(span.end))

    @property
    def span(self) -> Span | None:
        return self.span_of(self.node)

    def at(self, node: cst.CSTNode) -> Place:
        """The place of another node of the same block."""
        return Place(node, self.block, self.where, self.offset, self.tree)

    def parent(self) -> Place | None:
        above = self.block.parent_of(self.node)
        return self.at(above) if above is not None else None

    def code(self, node: cst.CSTNode | None = None) -> str:
        return self.block.code_of(node if node is not None else self.node)


class CellLine(int):
    """A line of a notebook, counted from its first cell; in words counted from its own, as its readers see it."""

    in_cell: int

    def __new__(cls, line: int, in_cell: int) -> CellLine:
        made = super().__new__(cls, line)
        made.in_cell = in_cell
        return made

    def __str__(self) -> str:
        return f"{self.in_cell} of its cell"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


@dataclass(frozen=True, slots=True)
class FunctionRun:
    """A function run on its own: its ways out (empty: it always raises or never ends)."""

    name: str
    code: Code
    returns: tuple[Returned, ...]
    state: State | None
    toggled: dict[Obj, Site]
    complete: bool
    """No broken code was met, and the budget was enough."""


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """A class of the file: its kind, an instance of it after `__init__` with unknown arguments, its methods run.

    `known`: every base is known and no broken code stands in the body, so that what is not there is absent.
    """

    name: str
    value: ClassValue
    kind: Kind
    known: bool
    instance: Instance
    attributes: dict[str, object]
    state: State
    methods: dict[str, FunctionValue]
    runs: dict[str, FunctionRun]

    @property
    def site(self) -> Site:
        return self.value.code.site

    @property
    def is_module(self) -> bool:
        return self.kind in (Kind.MODULE, Kind.LIGHTNING)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What the methods of a class find: the instance's attributes after `__init__`, every object that the run has made
    or changed, and the modes that it has put Modules into. Methods that begin from the same `token` begin from the same
    state.
    """

    run: Run
    attributes: dict[str, object]
    heap: dict[Obj, dict[str, object]]
    modes: dict[Obj, frozenset[Mode]]
    token: Run


class Program:
    """One file's facts, each worked out when it is first asked for."""

    def __init__(
        self, file: File, imports: Imports, settings: Settings | None = None, in_order: Program | None = None
    ) -> None:
        """`in_order` is the program of the same notebook from top to bottom, for one whose cells run in any order."""
        self.file = file
        self._in_order = in_order
        self.imports = imports
        self.settings = settings or Settings()
        self.text = file.document.text
        self.runs: list[Run] = []
        self.incomplete: set[str] = set()
        self._facts: dict[type, list[Any]] = {}
        self._facts_by_run: dict[type, list[tuple[Run, Any]]] = {}
        self._places: dict[Site, Place | None] = {}
        self._nodes_at: dict[Where, tuple[int, BlockTree, Sequence[cst.CSTNode]] | None] = {}
        self._given_up = 0
        self._asker = Run(imports, "")
        self._frames: tuple[dict[str, int], State] = {}, State()
        self._derived: dict[Callable[[Program], object], object] = {}
        self._lent: list[Run] = []
        self._memory = memory_of(file.path, in_order is not None)
        self._memory.begin()

    def let_go(self) -> None:
        """What this program was asked for has been told: the runs that are remembered hold its file no longer.

        A text of 2,000 lines with its blocks takes 0.3 MB, and one edit may leave a run behind that nobody asks for
        again. What is still asked for gets the file of whoever asks.
        """
        for run in self._lent:
            with contextlib.suppress(AttributeError):
                del run.imports
        self._lent.clear()
        remember(self.file.path, self._in_order is not None, self._memory)

    def lightning_version(self) -> str | None:
        """Lightning's version: configured, pinned or installed; None (take the newest) if nothing tells."""
        return (
            self.settings.lightning_version
            or pinned_in_cells(self.text, _LIGHTNING)
            or self.imports.version("lightning")
            or self.imports.version("pytorch-lightning")
        )

    # -- places --

    def place(self, site: Site | None) -> Place | None:
        """The node at `site`, or None for a site in another file."""
        if site is None:
            return None
        if site not in self._places:
            self._places[site] = self._place(site)
        return self._places[site]

    def _place(self, site: Site) -> Place | None:
        if site.where.path != self.file.path or site.at < 0:
            return None
        if site.where not in self._nodes_at:
            self._nodes_at[site.where] = self._nodes_of(site.where)
        found = self._nodes_at[site.where]
        if found is None or site.at >= len(found[2]):
            return None
        offset, tree, nodes = found
        return Place(nodes[site.at], tree.block, site.where, offset, tree)

    def _nodes_of(self, where: Where) -> tuple[int, BlockTree, Sequence[cst.CSTNode]] | None:
        """The offset, the tree and the numbered nodes of a block."""
        found = self.file.block_at(where)
        if found is None:
            return None
        offset, tree = found
        return offset, tree, lower(tree).nodes

    def text_at(self, where: Where) -> str:
        """The text of the statement at `where`, its body included: a look at that costs nothing, a place makes a tree.
        Empty for another file.
        """
        found = self.file.block_at(where) if where.path == self.file.path else None
        return found[1].text if found is not None else ""

    def site_of(self, place: Place) -> Site | None:
        """The site that names a node in facts; None if its event tree has left it out."""
        nodes = lower(place.tree).nodes  # type: ignore[arg-type]
        at = next((number for number, node in enumerate(nodes) if node is place.node), None)
        return Site(place.where, at) if at is not None else None

    def line_of(self, place: Place) -> int:
        """The 1-based line that a node begins on; 0 where its position can't be trusted."""
        span = place.span
        if span is None:
            return 0
        document = self.file.document
        line = document.lines.position(span.start)[0]
        cell = document.cells[bisect_right(document.cells, span.start) - 1] if document.cells else None
        return line + 1 if cell is None else CellLine(line + 1, line + 1 - document.lines.position(cell)[0])

    def places(self) -> Iterable[tuple[Where, int, object]]:
        """Every block of the file."""
        return self.file.blocks()

    def is_damaged(self, where: Where) -> bool:
        """Whether broken or half-typed code stands in the same top-level definition (or among the top-level
        statements) as `where`: nothing can be said to be absent from it.
        """
        return where.unit in self._damaged

    @property
    def has_holes(self) -> bool:
        """Whether some code of the file does not parse."""
        return any(tree.holes for _, _, tree, _ in self.file.units)

    @property
    def has_damage(self) -> bool:
        """Whether some code of the file does not parse or is half-typed: anything may be about to be written there."""
        return bool(self._damaged)

    @cached_property
    def training_is_damaged(self) -> bool:
        """Whether a top-level block with broken or half-typed code in it may be about who trains what: then another
        optimizer, another loss may be meant to stand there.
        """
        lost = {lost.site.where for lost in self.lost if lost.site.where.path == self.file.path}
        blocks = {(where.unit, where.steps[:1] if not where.unit else ()) for where in lost}
        return any(
            not _TRAINING_NAMES.isdisjoint(tree.names)
            for where, _, tree, _ in self.file.units
            if tree.holes or (where.unit, where.steps) in blocks
        )

    @cached_property
    def _damaged(self) -> frozenset[str]:
        lost = {lost.site.where.unit for lost in self.lost if lost.site.where.path == self.file.path}
        return frozenset(lost | {where.unit for where, _, tree, _ in self.file.units if tree.holes})

    # -- runs --

    @cached_property
    def script(self) -> tuple[Run, State]:
        """The module's body, run as a script; from memory while the definitions that it uses are the same."""
        definitions_run = Run(self.imports, "")
        defined = State()
        try:
            run_module(definitions_run, defined, self.file, definitions_only=True)
        except Exhausted:
            self.incomplete.add("")
        self._frames = definitions_run.module_frames, defined
        in_order = self._in_order.script if self._in_order is not None else None
        named = defined.frames.get(definitions_run.module_frames.get(self.file.path, 0), {})
        content = (
            tuple(
                (where, _held_by(named.get(where.unit.partition("#")[0]))) if where.unit else tree
                for where, _, tree, _ in self.file.units
            ),
            tuple(map(len, self.file.cells)),
            in_order and in_order[0],
        )

        def work(run: Run) -> State:
            if in_order is not None and in_order[0].changes is not None:
                state = in_order[1].copy()
                run_cells_again(run, state, self.file, in_order[0], in_order[0].changes)
            else:
                state = State()
                run_module(run, state, self.file)
            return state

        made = self._remembered("script", "", content, lambda: Run(self.imports, ""), work)
        if made is None:
            return definitions_run, defined
        run, state = made
        state = state.copy()
        names = dict(state.frames[run.module_frames[self.file.path]])
        for name, value in defined.frames[definitions_run.module_frames[self.file.path]].items():
            if isinstance(value, _DEFINED) and isinstance(names.get(name), _DEFINED):
                names[name] = value
        state.frames[run.module_frames[self.file.path]] = names
        self._frames = run.module_frames, state
        self.runs.append(run)
        return run, state

    @property
    def _names(self) -> dict[str, Value]:
        run, state = self.script
        return state.frames.get(run.module_frames[self.file.path], {})

    @cached_property
    def classes(self) -> dict[str, ClassFacts]:
        """The classes of the file by name: those of the module's body, and those that its functions define."""
        facts: dict[str, ClassFacts] = {}
        for value in self._class_values():
            if value.code.where.path == self.file.path and value.name not in facts:
                made = self._class_facts(value)
                if made is not None:
                    facts[value.name] = made
        return facts

    def _class_values(self) -> list[ClassValue]:
        found = [value for value in self._names.values() if isinstance(value, ClassValue)]
        _ = self.functions
        local = {where: cls for run in self.runs for where, cls in run.local_classes.items()}
        for cls in map(class_lookup.detached, local.values()):
            self.imports.classes[cls] = cls
            found.append(cls)
        return found

    @cached_property
    def functions(self) -> dict[str, FunctionRun]:
        """Top-level functions that the script does not reach, each run with unknown arguments."""
        run, _ = self.script
        made: dict[str, FunctionRun] = {}
        for name, value in list(self._names.items()):
            if (
                isinstance(value, FunctionValue)
                and value.code.where.path == self.file.path
                and value.code not in run.reached
                and (not TELLING_NAMES.isdisjoint(self._names_in(value.code)) or self._drives(value.code))
            ):
                result = self._run_entry(name, value)
                if result is not None:
                    made[name] = result[1]
        return made

    def _drives(self, code: Code) -> bool:
        """Whether a function has a loop, and calls at least two of the file's functions that have to do with training:
        what one of them leaves behind in one round, the other finds in the next.
        """
        called = self._names_in(code) & self.file.loud_names
        known = [name for name in called if isinstance(self._names.get(name), FunctionValue)]
        return len(known) > 1 and _LOOP.search(code.tree.text) is not None  # type: ignore[attr-defined]

    def _names_in(self, code: Code) -> frozenset[str]:
        return code.tree.names  # type: ignore[attr-defined, no-any-return]

    def _fresh_state(self) -> State:
        """The state after the script, as code that is entered later finds it: gradients may be anything."""
        state = self.script[1].copy()
        training.forget_all_gradients(state)
        state.toggled.clear()
        state.scaled.clear()
        state.modes.clear()
        state.stages.clear()
        return state

    def _entry_run(self, name: str, base: Run | None = None) -> Run:
        """A run that begins where the script ended; `base` (an `__init__`) has added to what is held."""
        script = self.script[0]
        run = Run(self.imports, name)
        run.frames = script.frames + 1000
        run.module_frames = dict(script.module_frames)
        run.left_out = dict(script.left_out)
        run.holdings = dict(script.holdings)
        run.optimizers = dict(script.optimizers)
        run.copies = dict(script.copies)
        if base is not None:
            run.frames = base.frames  # what it has made may look at variables by number
            run.holdings.update(base.holdings)
            run.optimizers.update(base.optimizers)
            run.copies.update(base.copies)
        run.inherited = dict(run.holdings)
        run.world = script.token
        return run

    def _remembered(
        self, kind: str, name: str, content: tuple[object, ...], begin: Callable[[], Run], work: Callable[[Run], R]
    ) -> tuple[Run, R] | None:
        """What `work` gives for an entry of this file with this `content`, from memory while everything that its run
        has read is still the same; None if the run's budget was spent on the way, which is remembered, too.

        What a `script` reads of its own variables is its own doing: only definitions and answers are compared.
        """
        budget = _BUDGETS[min(self._given_up, len(_BUDGETS) - 1)]
        script, entry, content = kind == "script", (kind, name), (*content, budget)
        for result in self._memory.results(entry, content):
            if self._holds(result.run, script):
                self._memory.use(entry, result)
                run, value = result.run, result.value
                run.imports = self.imports
                self._lent.append(run)
                break
        else:
            self.imports.asking = run = begin()
            run.remaining = budget
            try:
                value = work(run)
            except Exhausted:
                value = None
            self.imports.asking = None
            run.finish()
            if script or all(self._is_of_the_script(*read) or _is_comparable(v) for read, v in run.reads.items()):
                self._memory.keep(entry, content, run, value)
                self._lent.append(run)
        if value is None:
            self._given_up += 1
            self.incomplete.add(name)
            return None
        return run, value

    def _is_of_the_script(self, kind: object, *read: object) -> bool:
        """Whether what was read is as the script has left it: a variable, or an attribute of another file's class."""
        return kind == "name" or (
            kind == "member" and isinstance(read[0], ClassValue) and read[0].code.where.path != self.file.path
        )

    def _holds(self, run: Run, script: bool) -> bool:
        frames, state = self._frames
        changed = not script and run.world is not self.script[0].token
        for read, value in run.reads.items():
            if changed and self._is_of_the_script(*read) and not _is_comparable(value):
                # What an object holds is in no value: it is as it was only if the script is.
                return False
            now: object
            if read[0] == "name":
                _, path, name = read
                if script and (not isinstance(value, _DEFINED) or path != self.file.path):
                    continue
                frame = frames.get(path)  # type: ignore[call-overload]
                now = state.variable(frame, name) if frame is not None else None  # type: ignore[arg-type]
            elif read[0] == "member" and script and read[1] not in self.imports.classes:
                continue
            else:
                now = self.imports.found.get(read, _GONE)
                if now is _GONE:
                    now = self.imports.found[read] = self._now(read)
            if now is not value and now != value:
                return False
        return True

    def _now(self, read: tuple[object, ...]) -> object:
        """What a look-up finds in this program, other than that of a variable."""
        kind = read[0]
        if kind == "member":
            _, cls, name, after = read
            current = self.imports.classes.get(cls)  # type: ignore[call-overload]
            if current is None:
                return _GONE
            return class_lookup.find_member(self._asker, current, name, after)  # type: ignore[arg-type]
        if kind == "usage":
            _, cls, attribute = read
            current = self.imports.classes.get(cls)  # type: ignore[call-overload]
            return duck_types.usage_of_attribute(current, str(attribute)) if current is not None else None
        if kind == "loud":
            _, path, tree = read
            return quiet.mentions_something_telling(self.imports, path, tree)  # type: ignore[arg-type]
        if kind == "broken":
            _, path, name = read
            return name in self.imports.files[path].mentioned_by_holes  # type: ignore[index]
        if kind == "shown":
            _, path, name = read
            return hidden.is_shown(self.imports.files[path], str(name))  # type: ignore[index]
        if kind == "half-typed":
            _, path, name = read
            return self.imports.files[path].is_half_typed(str(name))  # type: ignore[index]
        return self.imports.ask(read[1])  # type: ignore[arg-type]

    def _run_entry(
        self,
        name: str,
        function: FunctionValue,
        base: Entry | None = None,
        given: tuple[Value, ...] = (),
    ) -> tuple[Run, FunctionRun] | None:
        """Run a function with unknown arguments from the state that code entered later finds.

        `given` are the first arguments, where they are known; an optimizer that `optimizer_step` gets has no
        gradients yet.
        """

        def work(run: Run) -> FunctionRun:
            state = self._fresh_state() if base is None else self._as_entered(base)
            frame = Frame(
                run.frame_number(), self.file, function.code.where, None, None, Closure(self.file.path), (), ()
            )
            returns = _enter(run, frame, state, function, given)
            end: State | None = None
            toggled: dict[Obj, Site] = {}
            for each, _ in returns:
                end = each if end is None else end.joined(each)
                toggled.update(each.toggled)
            run.end = end
            complete = not any(site.where == function.code.where or site.where.unit for site in run.lost)
            ways = tuple(how for _, how in returns)
            return FunctionRun(function.code.name, function.code, ways, end, toggled, complete)

        content = function.code, base.token if base is not None else None, given
        begin = partial(self._entry_run, name, base.run if base is not None else None)
        made = self._remembered("function", name, content, begin, work)
        if made is not None:
            self.runs.append(made[0])
        return made

    def _class_facts(self, cls: ClassValue) -> ClassFacts | None:
        script = self.script[0]
        kind, known = class_lookup.kind_of_class(script, cls)
        order, _ = class_lookup.mro(script, cls)
        members: dict[str, FunctionValue] = {}
        for each in reversed(order):
            if isinstance(each, ClassValue):
                members.update({n: v for n, v in each.members.items() if isinstance(v, FunctionValue)})
        if kind is Kind.OTHER and TELLING_NAMES.isdisjoint(self._names_in(cls.code)):
            return None
        instance = Instance(Obj(cls.code.site, (), "self"), cls, kind)
        loose = frozenset().union(
            *(assigned_attributes(function.code) for name, function in members.items() if name != "__init__")
        )
        entry = self._initialised(cls, instance, known, loose)
        if entry is None:
            return None
        runs: dict[str, FunctionRun] = {}
        if kind is Kind.LIGHTNING:
            entry = self._configure(cls, instance, members, entry, runs)
        for name, function in members.items():
            if name == "__init__" or name in runs:
                continue
            inherited = function.owner is not None and function.owner != cls
            if inherited and not self._calls_back(function, cls):
                continue
            elsewhere = inherited and function.code.where.path != self.file.path
            if elsewhere and kind is Kind.MODULE and not _trains(function, cls):
                continue
            if function.code in script.reached and kind not in (Kind.LIGHTNING, Kind.MODULE):
                continue
            if kind is not Kind.LIGHTNING and self.file.loud_names.isdisjoint(self._names_in(function.code)):
                continue
            given: tuple[Value, ...] = ()
            if kind is Kind.LIGHTNING and name in lightning_hooks.GET_A_BATCH:
                given = self._batch(cls, name, function)
            if kind is Kind.LIGHTNING and name == "optimizer_step":
                given = self.given_to_optimizer_step(instance, entry.heap.get(instance.obj, {}))
            if kind is Kind.LIGHTNING and name == "on_before_optimizer_step":
                given = (_managed(instance, entry.heap.get(instance.obj, {})),)
            made = self._run_entry(f"{cls.name}.{name}", _bound(function, instance), entry, given)
            if made is not None:
                runs[name] = made[1]
        state = self._as_entered(entry)
        return ClassFacts(cls.name, cls, kind, known, instance, entry.attributes, state, members, runs)

    def _batch(self, cls: ClassValue, hook: str, function: FunctionValue) -> tuple[Value, ...]:
        """What Lightning gives a step: a batch from the data loader, which nothing trained has touched. The loader that
        the script gives to `fit` together with an object of the class tells more of it.
        """
        node = function.code.node
        assert isinstance(node, ir.Function)
        if len([param for param in node.params if param.kind == "plain"]) < 2:
            return ()
        run, state = self.script
        position, keyword = _LOADERS.get(hook, (3, ""))
        loaders = {
            call.argument(position, keyword)
            for call in run.calls().get("Engine.fit", ())
            if isinstance(model := call.argument(0, "model"), Instance) and model.type == cls
        }
        loader = loaders.pop() if len(loaders) == 1 else None
        return (shapes.batch_of(state, loader) if isinstance(loader, Instance) else PLAIN,)

    def _calls_back(self, function: FunctionValue, cls: ClassValue) -> bool:
        """Whether an inherited method may call one that `cls` defines itself (a hook)."""
        own = {name for name, member in cls.members.items() if isinstance(member, FunctionValue)} - {"__init__"}
        return not own.isdisjoint(self._names_in(function.code))

    def _initialised(self, cls: ClassValue, instance: Instance, known: bool, loose: frozenset[str]) -> Entry | None:
        """An instance after `__init__`; what other methods assign too may be anything by the time that one runs."""

        def work(run: Run) -> Entry:
            state = self._fresh_state()
            before = dict(state.heap)
            state.heap[instance.obj] = {} if known else {"[open]": True}
            frame = Frame(run.frame_number(), self.file, cls.code.where, None, None, Closure(self.file.path), (), ())
            calls.initialise(run, frame, state, instance, (), (), cls.code.site.at, unknown_arguments=True)
            attributes = dict(state.attributes(instance.obj))
            for attr in loose:
                if isinstance(state.attribute(instance.obj, attr), (Const, Tensor, Unknown)):
                    state.set_attribute(instance.obj, attr, UNKNOWN)
            return Entry(run, attributes, _changes(before, state.heap), state.modes, run)

        begin = partial(self._entry_run, f"{cls.name}.__init__")
        made = self._remembered("class", cls.name, (cls, loose, known), begin, work)
        if made is None:
            return None
        self.runs.append(made[0])
        return made[1]

    def given_to_optimizer_step(self, instance: Instance, attributes: Mapping[str, object]) -> tuple[Value, ...]:
        """What Lightning calls `optimizer_step` with: epoch, batch index, the optimizer, (its number,) the closure."""
        optimizer = _managed(instance, attributes)
        closure = Method(instance, methods.CLOSURE)
        if lightning_hooks.at_least(self.lightning_version(), lightning_hooks.CURRENT):
            return UNKNOWN, UNKNOWN, optimizer, closure
        return UNKNOWN, UNKNOWN, optimizer, UNKNOWN, closure

    def _as_entered(self, entry: Entry) -> State:
        """The script's last state with what an `__init__` has made; gradients may be anything."""
        state = self._fresh_state()
        state.heap.update(entry.heap)
        state.modes.update(entry.modes)
        for optimizer in entry.run.optimizers:
            state.gradients[optimizer] = UNKNOWN_GRADIENTS
        return state

    def _configure(
        self,
        cls: ClassValue,
        instance: Instance,
        members: dict[str, FunctionValue],
        entry: Entry,
        runs: dict[str, FunctionRun],
    ) -> Entry:
        """Lightning's order: `setup`, `configure_model`, `configure_optimizers` before any step."""
        for name in ("prepare_data", "setup", "configure_model", "configure_optimizers"):
            function = members.get(name)
            if function is None:
                continue
            before = self._as_entered(entry).heap
            made = self._run_entry(f"{cls.name}.{name}", replace(function, self_value=instance), entry)
            if made is None:
                continue
            run, result = made
            runs[name] = result
            if result.state is None:
                continue
            heap = {**entry.heap, **_changes(before, result.state.heap)}
            if name == "configure_optimizers" and result.returns:
                value = result.returns[0].value
                for returned in result.returns[1:]:
                    value = join(value, returned.value)
                configured = configured_optimizers(self, result.state, value)
                if configured is not None:
                    heap[instance.obj] = {**heap.get(instance.obj, {}), methods.OPTIMIZERS: configured}
            # The token of the run stands for its result: the same run gives the same entry for what follows.
            entry = Entry(run, entry.attributes, heap, entry.modes, run)
        return entry

    # -- facts --

    def ensure_runs(self) -> None:
        """Run everything there is to run."""
        _ = self.script, self.functions, self.classes

    def facts(self, kind: type[F]) -> list[F]:
        """Every fact of a kind whose place is in this file, from all runs."""
        found = self._facts.get(kind)
        if found is None:
            found = self._facts[kind] = [fact for _, fact in self.runs_with_facts(kind)]
        return found

    def runs_with_facts(self, kind: type[F]) -> list[tuple[Run, F]]:
        """The same with the run that saw each."""
        found = self._facts_by_run.get(kind)
        if found is None:
            found = list(chain.from_iterable(here.by_kind.get(kind, ()) for here in self._facts_here))
            self._facts_by_run[kind] = found
        return found

    @cached_property
    def _facts_here(self) -> list[FactsHere]:
        self.ensure_runs()
        return [run.facts_here(self.file.path) for run in self.runs]

    def selected(self, select: Callable[[FactsHere], Iterable[F]]) -> list[F]:
        """What `select` picks from the facts that each run has seen in this file.

        For what a run says by itself: it is asked once of each run, and after an edit only of those that were run
        again. `select` is a function of a module (not a lambda), and looks at nothing but what it is given.
        """
        return [found for here in self._facts_here for found in here.selected(select)]

    def derived(self, make: Callable[[Program], R]) -> R:
        """What `make`, a function of a module, gives for this program; worked out once, for whoever asks."""
        if make not in self._derived:
            self._derived[make] = make(self)
        return self._derived[make]  # type: ignore[return-value]

    def facts_anywhere(self, kind: type[F]) -> list[F]:
        """Every fact of a kind, those in the user's other files too: to tell that something is never done."""
        self.ensure_runs()
        return [fact for run in self.runs for fact in run.facts_of(kind)]

    def stores(self, attr: str) -> list[Store]:
        """What is assigned to attributes called `attr` in this file, from all runs."""
        return [store for here in self._facts_here for store in here.stores.get(attr, ())]

    def stores_on(self, obj: Obj) -> list[Store]:
        """What is assigned to attributes of an object in this file, from all runs."""
        return self._stores_by_object.get(obj, [])

    @cached_property
    def _stores_by_object(self) -> dict[Obj, list[Store]]:
        return _together(here.stores_on for here in self._facts_here)

    def is_called_anywhere(self, names: frozenset[str]) -> bool:
        """Whether any of some functions from outside the user's files is called, in the user's other files too."""
        self.ensure_runs()
        return any(not names.isdisjoint(run.calls()) for run in self.runs)

    def calls(self, *names: str) -> list[tuple[Run, Call]]:
        """The calls of some functions or methods from outside the user's files, by canonical name (see `facts.Call`),
        each with the run that saw it.
        """
        return [found for name in names for found in self._calls_by_name.get(name, ())]

    @cached_property
    def _calls_by_name(self) -> dict[str, list[tuple[Run, Call]]]:
        return _together(here.calls for here in self._facts_here)

    def calls_below(self, prefix: str) -> list[tuple[Run, Call]]:
        """The calls of everything whose canonical name begins with `prefix` (`torch.optim.lr_scheduler.`)."""
        return [found for name in self._calls_by_name if name.startswith(prefix) for found in self.calls(name)]

    @cached_property
    def holdings(self) -> dict[Obj, Holdings]:
        """What each optimizer holds in the end, over all runs."""
        self.ensure_runs()
        merged: dict[Obj, Holdings] = {}
        for run in self.runs:
            merged.update({k: v for k, v in run.holdings.items() if run.inherited.get(k) != v})
        return merged

    @cached_property
    def hands_off(self) -> frozenset[Obj]:
        """Modules and parameters that are not the program's to train, or not by a known optimizer alone: frozen or
        loaded somewhere, or given to code that is not known.
        """
        self.ensure_runs()
        return frozenset().union(*(run.frozen | run.loaded | run.escaped for run in self.runs))

    @cached_property
    def lost(self) -> tuple[Lost, ...]:
        """Where code could not be followed."""
        self.ensure_runs()
        return tuple(lost for run in self.runs for lost in run.lost.values())

    @property
    def lightning_classes(self) -> list[ClassFacts]:
        return [facts for facts in self.classes.values() if facts.kind is Kind.LIGHTNING]

    @property
    def module_classes(self) -> list[ClassFacts]:
        return [facts for facts in self.classes.values() if facts.is_module]


def _trains(function: FunctionValue, cls: ClassValue) -> bool:
    """Whether an inherited method, or one of `cls` itself that it may call, has to do with who trains what: a library's
    networks inherit hundreds that don't.
    """
    names = function.code.tree.names_in_code  # type: ignore[attr-defined]
    called = [cls.members[name] for name in names & cls.members.keys()]
    codes = [function.code, *(member.code for member in called if isinstance(member, FunctionValue))]
    return any(not _DRIVING_NAMES.isdisjoint(code.tree.names_in_code) for code in codes)  # type: ignore[attr-defined]


def _enter(
    run: Run, frame: Frame, state: State, function: FunctionValue, given: tuple[Value, ...]
) -> list[tuple[State, Returned]]:
    """Run a function with unknown arguments behind those `given`; each way out with its state."""
    node = function.code.node
    assert isinstance(node, ir.Function)
    callee = calls.frame_for(run, frame, function, -1)
    callee.calls = ()
    args: tuple[Value, ...] = ()
    if function.self_value is not None and "builtins.staticmethod" not in function.decorators:
        args = (function.self_value,)
    for value in given:
        if isinstance(value, Instance) and value.kind is Kind.OPTIMIZER:
            run.optimizers.setdefault(value.obj, value)
            state.gradients[value.obj] = NO_GRADIENTS if function.code.name == "optimizer_step" else UNKNOWN_GRADIENTS
    args += given
    calls.bind_parameters(run, callee, state, node.params, args, (), True)
    statements.note_conditions(callee, node.body)
    mode = next((d for d in function.decorators if d in GRAD_MODES), None)
    if mode is not None:
        state.grad, state.switch = GRAD_MODES[mode], function.code.site
    run.stack.append(function.code)
    ends = statements.execute(run, callee, node.body, [state], statements.Flow())
    run.stack.pop()
    calls.finished(callee, function.code, ends)
    return callee.returns


def _managed(module: Instance, attributes: Mapping[str, object]) -> Instance:
    """The optimizer that Lightning gives to a module's hooks: the one configured, or one that can't be told."""
    optimizer = attributes.get(methods.OPTIMIZERS)
    return optimizer if isinstance(optimizer, Instance) else methods.some_optimizer(module)


def configured_optimizers(program: Program, state: State, value: Value) -> Value | None:
    """What `self.optimizers()` gives for what `configure_optimizers` returned; None if it can't be told."""
    found = optimizers_in(program, state, value)
    if found is None:
        return None
    if len(found) == 1:
        return found[0]
    return TupleValue(tuple(found))


def optimizers_in(program: Program, state: State, value: Value) -> list[Instance] | None:
    """The optimizers that `configure_optimizers` returned, in order; None if it can't be told."""
    if isinstance(value, Instance):
        return [value] if value.kind is Kind.OPTIMIZER else None
    if isinstance(value, Collection) and value.kind == "dict":
        items = state.items(value.obj)
        if items.keys is not None and items.exact is not None and "optimizer" in items.keys:
            return optimizers_in(program, state, items.exact[items.keys.index("optimizer")])
        return None
    exact = containers.exact_items(program.script[0], state, value)
    if exact is None:
        return None
    if len(exact) == 2 and not isinstance(exact[0], Instance) and not _is_dict(exact[0]):
        return optimizers_in(program, state, exact[0])
    found: list[Instance] = []
    for item in exact:
        inner = optimizers_in(program, state, item)
        if inner is None:
            return None
        found += inner
    return found


def _is_dict(value: Value) -> bool:
    return isinstance(value, Collection) and value.kind == "dict"


def _bound(function: FunctionValue, instance: Instance) -> FunctionValue:
    return function if "builtins.staticmethod" in function.decorators else replace(function, self_value=instance)


def _together(indexes: Iterable[dict[K, list[F]]]) -> dict[K, list[F]]:
    """Several indexes as one."""
    whole: dict[K, list[F]] = {}
    for index in indexes:
        for key, found in index.items():
            if key in whole:
                whole[key] += found
            else:
                whole[key] = found.copy()
    return whole


def _changes(before: dict[Obj, dict[str, object]], after: dict[Obj, dict[str, object]]) -> dict[Obj, dict[str, object]]:
    return {obj: attributes for obj, attributes in after.items() if before.get(obj) is not attributes}


_DEFINED = (FunctionValue, ClassValue)
_GONE = object()
"""Equal to nothing that was found."""


def _held_by(value: Value | None) -> tuple[str, ...]:
    """What a class that holds objects of its own says of them; of anything else that is defined, nothing."""
    holds = isinstance(value, ClassValue) and not definitions.is_fixed(value)
    return definitions.own_text(value) if holds else ()  # type: ignore[arg-type]


def _is_comparable(value: object) -> bool:
    """Whether equality of a value that was read says that nothing behind it has changed either."""
    if isinstance(value, (TupleValue, Choice)):
        return all(map(_is_comparable, value.items if isinstance(value, TupleValue) else value.options))
    if isinstance(value, tuple):
        return all(map(_is_comparable, value))
    if isinstance(value, FunctionValue):
        return value.self_value is None
    if isinstance(value, Const) and isinstance(value.value, Member):
        return _is_comparable(value.value.value)
    return value is None or isinstance(
        value, (str, bool, Unknown, Const, Ref, ClassValue, SourceFile, duck_types.Usage)
    )


def kinds_of(states: Iterable[GradState]) -> frozenset[Gradients]:
    """The kinds among possible states."""
    return frozenset(state.kind for state in states)
