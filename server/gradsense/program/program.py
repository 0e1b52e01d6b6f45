"""The program of one file: its runs, its classes, and the facts that the rules ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import libcst as cst

from gradsense.config import Settings
from gradsense.findings import Span
from gradsense.program import calls, ir, methods, objects, statements, training
from gradsense.program.facts import Fact, Gradients, GradState, Holdings, Lost, Returned
from gradsense.program.file import TELLING_NAMES, File, Imports, run_module
from gradsense.program.lower import lower
from gradsense.program.run import Exhausted, Frame, Run, statements_of
from gradsense.program.state import State
from gradsense.program.values import (
    UNKNOWN,
    ClassValue,
    Closure,
    Code,
    Collection,
    Const,
    FunctionValue,
    Instance,
    Kind,
    Obj,
    Site,
    Tensor,
    TupleValue,
    Unknown,
    Value,
    Where,
    join,
)
from gradsense.source.blocks import Block

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Place:
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
        to_text = self.tree.to_text  # type: ignore[attr-defined]
        return Span(self.offset + to_text(span.start), self.offset + to_text(span.end))

    @property
    def span(self) -> Span | None:
        return self.span_of(self.node)

    def at(self, node: cst.CSTNode) -> Place:
        """The place of another node of the same block."""
        return replace(self, node=node)

    def parent(self) -> Place | None:
        above = self.block.parent_of(self.node)
        return self.at(above) if above is not None else None

    def code(self, node: cst.CSTNode | None = None) -> str:
        return self.block.code_of(node if node is not None else self.node)


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


class Program:
    """One file's facts, each worked out when it is first asked for."""

    def __init__(self, file: File, imports: Imports, settings: Settings | None = None) -> None:
        self.file = file
        self.imports = imports
        self.settings = settings or Settings()
        self.text = file.document.text
        self.runs: list[Run] = []
        self.incomplete: set[str] = set()

    def lightning_version(self) -> str | None:
        """Lightning's version: configured, pinned or installed; None (take the newest) if nothing tells."""
        return (
            self.settings.lightning_version
            or self.imports.version("lightning")
            or self.imports.version("pytorch-lightning")
        )

    # -- places --

    def place(self, site: Site | None) -> Place | None:
        """The node at `site`, or None for a site in another file."""
        if site is None or site.where.path != self.file.path or site.at < 0:
            return None
        found = self.file.block_at(site.where)
        if found is None:
            return None
        offset, tree = found
        nodes = lower(tree.block, bool(tree.suites)).nodes
        if site.at >= len(nodes):
            return None
        return Place(nodes[site.at], tree.block, site.where, offset, tree)

    def line_of(self, place: Place) -> int:
        """The 1-based line that a node begins on; 0 where its position can't be trusted."""
        span = place.span
        return self.file.document.lines.position(span.start)[0] + 1 if span is not None else 0

    def places(self) -> Iterator[tuple[Where, int, object]]:
        """Every block of the file."""
        return self.file.blocks()

    # -- runs --

    @cached_property
    def script(self) -> tuple[Run, State]:
        """The module's body, run as a script."""
        run = Run(self.imports, "")
        state = State()
        try:
            run_module(run, state, self.file)
        except Exhausted:
            self.incomplete.add("")
            run.facts.clear()
            # The definitions are still needed: run them without following any call.
            run = Run(self.imports, "")
            run.remaining = 10**9
            state = State()
            run.stack = [_NOWHERE] * 100
            run_module(run, state, self.file)
            run.stack.clear()
            run.facts.clear()
        self.runs.append(run)
        return run, state

    @property
    def _names(self) -> dict[str, Value]:
        run, state = self.script
        return state.frames.get(run.module_frames[self.file.path], {})

    @cached_property
    def classes(self) -> dict[str, ClassFacts]:
        """The classes that the module's body defines, by name."""
        facts: dict[str, ClassFacts] = {}
        for value in list(self._names.values()):
            if isinstance(value, ClassValue) and value.code.where.path == self.file.path and value.name not in facts:
                made = self._class_facts(value)
                if made is not None:
                    facts[value.name] = made
        return facts

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
                and not TELLING_NAMES.isdisjoint(self._names_in(value.code))
            ):
                result = self._run_entry(name, value, self._fresh_state())
                if result is not None:
                    made[name] = result
        return made

    def _names_in(self, code: Code) -> frozenset[str]:
        return code.tree.names  # type: ignore[attr-defined, no-any-return]

    def _fresh_state(self) -> State:
        """The state after the script, as code that is entered later finds it: gradients may be anything."""
        state = self.script[1].copy()
        training.forget_all_gradients(state)
        state.toggled.clear()
        state.scaled.clear()
        return state

    def _entry_run(self, name: str) -> Run:
        script = self.script[0]
        run = Run(self.imports, name)
        run.frames = script.frames + 1000
        run.module_frames = dict(script.module_frames)
        run.holdings = dict(script.holdings)
        run.optimizers = dict(script.optimizers)
        return run

    def _run_entry(self, name: str, function: FunctionValue, state: State, run: Run | None = None) -> FunctionRun | None:
        run = run or self._entry_run(name)
        run.entry = name
        frame = Frame(
            run.frame_number(), self.file, function.code.where, None, None, Closure(self.file), (), ()
        )
        state = state.copy()
        returns: list[tuple[State, Returned]] = []
        try:
            returns = _enter(run, frame, state, function)
        except Exhausted:
            self.incomplete.add(name)
            return None
        self.runs.append(run)
        end: State | None = None
        toggled: dict[Obj, Site] = {}
        for each, _ in returns:
            end = each if end is None else end.joined(each)
            toggled.update(each.toggled)
        complete = not any(site.where == function.code.where or site.where.unit for site in run.lost)
        return FunctionRun(
            function.code.name, function.code, tuple(how for _, how in returns), end, toggled, complete
        )

    def _class_facts(self, cls: ClassValue) -> ClassFacts | None:
        script = self.script[0]
        kind, known = objects.kind_of_class(script, cls)
        order, _ = objects.mro(script, cls)
        broken = any(isinstance(each, ClassValue) and each.broken for each in order)
        members: dict[str, FunctionValue] = {}
        for each in reversed(order):
            if isinstance(each, ClassValue):
                members.update({n: v for n, v in each.members.items() if isinstance(v, FunctionValue)})
        if kind is Kind.OTHER and TELLING_NAMES.isdisjoint(self._names_in(cls.code)):
            return None
        run = self._entry_run(f"{cls.name}.__init__")
        state = self._fresh_state()
        instance = Instance(Obj(cls.code.site, (), "self"), cls, kind)
        state.heap[instance.obj] = {} if known else {"[open]": True}
        frame = Frame(run.frame_number(), self.file, cls.code.where, None, None, Closure(self.file), (), ())
        try:
            calls.initialise(run, frame, state, instance, (), (), cls.code.site.at, unknown_arguments=True)
        except Exhausted:
            self.incomplete.add(cls.name)
            return None
        self.runs.append(run)
        after_init = {k: v for k, v in state.attributes(instance.obj).items()}
        self._loosen(state, instance, cls, members)
        runs: dict[str, FunctionRun] = {}
        if kind is Kind.LIGHTNING:
            self._configure(cls, instance, members, state, run, runs)
        for name, function in members.items():
            if name == "__init__" or name in runs or function.code.where.path != self.file.path:
                continue
            if function.owner is not None and function.owner != cls:
                continue
            if function.code in script.reached and kind not in (Kind.LIGHTNING, Kind.MODULE):
                continue
            if TELLING_NAMES.isdisjoint(self._names_in(cls.code)):
                continue
            bound = function if "builtins.staticmethod" in function.decorators else replace(function, self_value=instance)
            entry = self._entry_run(f"{cls.name}.{name}")
            entry.holdings.update(run.holdings)
            entry.optimizers.update(run.optimizers)
            result = self._run_entry(f"{cls.name}.{name}", bound, self._as_entered(state), entry)
            if result is not None:
                runs[name] = result
        return ClassFacts(cls.name, cls, kind, known and not broken, instance, after_init, state, members, runs)

    def _as_entered(self, state: State) -> State:
        copied = state.copy()
        training.forget_all_gradients(copied)
        return copied

    def _loosen(self, state: State, instance: Instance, cls: ClassValue, members: dict[str, FunctionValue]) -> None:
        """What methods other than `__init__` assign may be anything by the time that a method runs."""
        for name, function in members.items():
            if name == "__init__":
                continue
            for attr in assigned_attributes(function.code):
                held = state.attribute(instance.obj, attr)
                if isinstance(held, (Const, Tensor, Unknown)):
                    state.set_attribute(instance.obj, attr, UNKNOWN)

    def _configure(
        self,
        cls: ClassValue,
        instance: Instance,
        members: dict[str, FunctionValue],
        state: State,
        run: Run,
        runs: dict[str, FunctionRun],
    ) -> None:
        """Lightning's order: `setup`, `configure_model`, `configure_optimizers` before any step."""
        for name in ("prepare_data", "setup", "configure_model", "configure_optimizers"):
            function = members.get(name)
            if function is None:
                continue
            entry = self._entry_run(f"{cls.name}.{name}")
            entry.holdings.update(run.holdings)
            entry.optimizers.update(run.optimizers)
            result = self._run_entry(f"{cls.name}.{name}", replace(function, self_value=instance), state, entry)
            if result is None:
                continue
            runs[name] = result
            run.holdings.update(entry.holdings)
            run.optimizers.update(entry.optimizers)
            if result.state is not None:
                result_state = result.state.copy()
                result_state.frames = dict(state.frames)
                state.become(result_state)
            if name == "configure_optimizers" and result.returns:
                value = result.returns[0].value
                for returned in result.returns[1:]:
                    value = join(value, returned.value)
                configured = configured_optimizers(self, state, value)
                if configured is not None:
                    state.set_attribute(instance.obj, methods.OPTIMIZERS, configured)

    # -- facts --

    @cached_property
    def _all_facts(self) -> list[tuple[Run, Fact]]:
        self.ensure_runs()
        path = self.file.path
        return [(run, fact) for run in self.runs for fact in run.facts.values() if fact.site.where.path == path]

    def ensure_runs(self) -> None:
        """Run everything there is to run."""
        _ = self.script, self.functions, self.classes

    def facts(self, kind: type[F]) -> list[F]:
        """Every fact of a kind whose place is in this file, from all runs."""
        return [fact for _, fact in self._all_facts if isinstance(fact, kind)]

    def runs_with_facts(self, kind: type[F]) -> list[tuple[Run, F]]:
        """The same with the run that saw each."""
        return [(run, fact) for run, fact in self._all_facts if isinstance(fact, kind)]

    @cached_property
    def holdings(self) -> dict[Obj, Holdings]:
        """What each optimizer holds in the end, over all runs."""
        self.ensure_runs()
        merged: dict[Obj, Holdings] = {}
        for run in self.runs:
            merged.update(run.holdings)
        return merged

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


_NOWHERE = Code("", ir.Hole(None, frozenset(), None), None, Where("", "", ()))


def _enter(run: Run, frame: Frame, state: State, function: FunctionValue) -> list[tuple[State, Returned]]:
    """Run a function with unknown arguments; gives each way out with its state."""
    node = function.code.node
    assert isinstance(node, ir.Function)
    callee = calls.frame_for(run, frame, function, -1)
    callee.calls = ()
    args: tuple[Value, ...] = ()
    if function.self_value is not None and "builtins.staticmethod" not in function.decorators:
        args = (function.self_value,)
    calls.bind_parameters(run, callee, state, node.params, args, (), True)
    statements.note_conditions(callee, node.body)
    mode = next((d for d in function.decorators if d in calls.GRAD_MODES), None)
    if mode is not None:
        state.grad, state.switch = calls.GRAD_MODES[mode], function.code.site
    run.stack.append(function.code)
    ends = statements.execute(run, callee, node.body, [state], statements.Flow())
    run.stack.pop()
    calls.finished(callee, function.code, ends)
    return callee.returns


def assigned_attributes(code: Code) -> frozenset[str]:
    """The names X of all `self.X = ...` in a method."""
    node = code.node
    assert isinstance(node, ir.Function)
    if not node.params:
        return frozenset()
    self_name = node.params[0].name
    found: set[str] = set()
    frame = Frame(0, None, code.where, code.tree, code, Closure(None), (), ())  # type: ignore[arg-type]

    def targets(expression: ir.Expr) -> None:
        if isinstance(expression, ir.Attribute):
            if isinstance(expression.value, ir.Name) and expression.value.id == self_name:
                found.add(expression.attr)
        elif isinstance(expression, ir.Sequence):
            for item in expression.items:
                targets(item)

    def walk(body: ir.Body) -> None:
        outer = frame.where, frame.tree
        for where, tree, inside in statements_of(frame, body):
            frame.where, frame.tree = where, tree
            for statement in inside:
                if isinstance(statement, ir.Assign):
                    for target in statement.targets:
                        targets(target)
                elif isinstance(statement, ir.AugAssign):
                    targets(statement.target)
                for name in ("body", "orelse", "finalbody"):
                    inner = getattr(statement, name, None)
                    if inner is not None and not isinstance(statement, (ir.Function, ir.Class)):
                        walk(inner)
                for handler in getattr(statement, "handlers", ()):
                    walk(handler[2])
        frame.where, frame.tree = outer

    walk(node.body)
    return frozenset(found)


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
    exact = objects.exact_items(program.script[0], state, value)
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


def kinds_of(states: Iterable[GradState]) -> frozenset[Gradients]:
    """The kinds among possible states."""
    return frozenset(state.kind for state in states)

