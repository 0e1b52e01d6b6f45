"""What is run of a file: its body as a script, then the functions that the script does not reach and the methods of its
classes, each from the state in which its callers would find it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

from gradsense.config import Settings
from gradsense.program import bodies, calls, class_lookup, definitions, ir, module_methods, shapes, statements, training
from gradsense.program.assigned import assigned_attributes
from gradsense.program.configured import configured_optimizers
from gradsense.program.facts import Call, Mode, Returned
from gradsense.program.file import TELLING_NAMES, File
from gradsense.program.imports import Imports, run_cells_again, run_module
from gradsense.program.knowledge import lightning_hooks
from gradsense.program.knowledge.functions import GRAD_MODES
from gradsense.program.memory import memory_of, remember
from gradsense.program.reuse import DEFINED, Reuse
from gradsense.program.run import Exhausted, Frame, Run
from gradsense.program.state import NO_GRADIENTS, UNKNOWN_GRADIENTS, State
from gradsense.program.values import (
    PLAIN,
    UNKNOWN,
    ClassValue,
    Closure,
    Code,
    Const,
    FunctionValue,
    Instance,
    Kind,
    Method,
    Obj,
    Site,
    Tensor,
    Unknown,
    Value,
    join,
)
from gradsense.source.notebook import pinned_in_cells

_LOOP = re.compile(r"^[ \t]+(?:for|while)\b", re.MULTILINE)
_LOADERS = {"training_step": (1, "train_dataloaders"), "validation_step": (2, "val_dataloaders")}
"""Where `fit` takes the loader whose batches a hook gets."""
_DRIVING_NAMES = frozenset("backward manual_backward step zero_grad optim optimizer optimizers training_step".split())
_LIGHTNING = frozenset({"lightning", "pytorch-lightning"})


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
    or changed, the modes that it has put Modules into, and which of its optimizers and networks are alternatives.
    Methods that begin from the same `token` begin from the same state.
    """

    run: Run
    attributes: dict[str, object]
    heap: dict[Obj, dict[str, object]]
    modes: dict[Obj, frozenset[Mode]]
    exclusive: frozenset[frozenset[Obj]]
    token: Run


class Entries:
    """What is run of a file: its body, then whatever that does not reach, each from where it is entered."""

    def __init__(
        self,
        file: File,
        imports: Imports,
        settings: Settings | None = None,
        in_order: Entries | None = None,
        steps: int | None = None,
    ) -> None:
        """`in_order` are those of the same notebook from top to bottom, for one whose cells run in any order.

        `steps` is what all runs together may take (default: each has a budget of its own).
        """
        self.file = file
        self.imports = imports
        self.settings = settings or Settings()
        self.text = file.document.text
        self.runs: list[Run] = []
        self._in_order = in_order
        self._memory = memory_of(file.path, in_order is not None)
        self._memory.begin()
        self._reuse = Reuse(imports, self._memory, steps)

    @property
    def incomplete(self) -> set[str]:
        """The entries whose runs did not come to their end."""
        return self._reuse.incomplete

    @property
    def steps_left(self) -> int | None:
        """What is left of the steps that all may take together; None where each has a budget of its own."""
        return self._reuse.left

    def let_go(self) -> None:
        """What was asked for has been told: the runs that are remembered hold this file no longer."""
        self._reuse.let_go()
        remember(self.file.path, self._in_order is not None, self._memory)

    def lightning_version(self) -> str | None:
        """Lightning's version: configured, pinned or installed; None (take the newest) if nothing tells."""
        return (
            self.settings.lightning_version
            or pinned_in_cells(self.text, _LIGHTNING)
            or self.imports.version("lightning")
            or self.imports.version("pytorch-lightning")
        )

    @cached_property
    def script(self) -> tuple[Run, State]:
        """The module's body, run as a script; from memory while the definitions that it uses are the same."""
        self.imports.asking = definitions_run = Run(self.imports, "")
        defined = State()
        try:
            run_module(definitions_run, defined, self.file, definitions_only=True)
        except Exhausted:
            self._reuse.incomplete.add("")
        self.imports.asking = None
        self._reuse.frames = definitions_run.module_frames, defined
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
            run.end = state
            return state

        made = self._reuse.take("script", "", content, lambda: Run(self.imports, ""), work)
        if made is None:
            self._reuse.world = definitions_run.token
            return definitions_run, defined
        run, state = made
        self._reuse.world = run.token
        state = state.copy()
        names = dict(state.frames[run.module_frames[self.file.path]])
        for name, value in defined.frames[definitions_run.module_frames[self.file.path]].items():
            if isinstance(value, DEFINED) and isinstance(names.get(name), DEFINED):
                names[name] = value
        state.frames[run.module_frames[self.file.path]] = names
        self._reuse.frames = run.module_frames, state
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
        made = self._reuse.take("function", name, content, begin, work)
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
            for call in run.facts_of(Call)
            if call.name == "Engine.fit"
            and isinstance(model := call.argument(0, "model"), Instance)
            and model.type == cls
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
            return Entry(run, attributes, _changes(before, state.heap), state.modes, state.exclusive, run)

        begin = partial(self._entry_run, f"{cls.name}.__init__")
        made = self._reuse.take("class", cls.name, (cls, loose, known), begin, work)
        if made is None:
            return None
        self.runs.append(made[0])
        return made[1]

    def given_to_optimizer_step(self, instance: Instance, attributes: Mapping[str, object]) -> tuple[Value, ...]:
        """What Lightning calls `optimizer_step` with: epoch, batch index, the optimizer, (its number,) the closure."""
        optimizer = _managed(instance, attributes)
        closure = Method(instance, module_methods.CLOSURE)
        if lightning_hooks.at_least(self.lightning_version(), lightning_hooks.CURRENT):
            return UNKNOWN, UNKNOWN, optimizer, closure
        return UNKNOWN, UNKNOWN, optimizer, UNKNOWN, closure

    def _as_entered(self, entry: Entry) -> State:
        """The script's last state with what an `__init__` has made; gradients may be anything."""
        state = self._fresh_state()
        state.heap.update(entry.heap)
        state.modes.update(entry.modes)
        state.exclusive |= entry.exclusive
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
                configured = configured_optimizers(self.script[0], result.state, value)
                if configured is not None:
                    heap[instance.obj] = {**heap.get(instance.obj, {}), module_methods.OPTIMIZERS: configured}
            # The token of the run stands for its result: the same run gives the same entry for what follows.
            exclusive = entry.exclusive | result.state.exclusive
            entry = Entry(run, entry.attributes, heap, entry.modes, exclusive, run)
        return entry

    def ensure_runs(self) -> None:
        """Run everything there is to run."""
        _ = self.script, self.functions, self.classes


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
    elif bodies.switches_gradients_on(function.code):
        # Whoever calls it has switched them off.
        state.grad = None
    run.stack.append(function.code)
    ends = statements.execute(run, callee, node.body, [state], statements.Flow())
    run.stack.pop()
    calls.finished(callee, function.code, ends)
    return callee.returns


def _managed(module: Instance, attributes: Mapping[str, object]) -> Instance:
    """The optimizer that Lightning gives to a module's hooks: the one configured, or one that can't be told."""
    optimizer = attributes.get(module_methods.OPTIMIZERS)
    return optimizer if isinstance(optimizer, Instance) else module_methods.some_optimizer(module)


def _bound(function: FunctionValue, instance: Instance) -> FunctionValue:
    return function if "builtins.staticmethod" in function.decorators else replace(function, self_value=instance)


def _changes(before: dict[Obj, dict[str, object]], after: dict[Obj, dict[str, object]]) -> dict[Obj, dict[str, object]]:
    return {obj: attributes for obj, attributes in after.items() if before.get(obj) is not attributes}


def _held_by(value: Value | None) -> tuple[str, ...]:
    """What a class that holds objects of its own says of them; of anything else that is defined, nothing."""
    holds = isinstance(value, ClassValue) and not definitions.is_fixed(value)
    return definitions.own_text(value) if holds else ()  # type: ignore[arg-type]
