"""Where the names that a file imports lead: into the user's other files, which are run as far as somebody wants their
names, and out to libraries, of which there are answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from gradsense.program import cells, class_lookup, definitions, expressions, imported, ir, statements
from gradsense.program.file import TELLING_NAMES, File, Files, imports_in
from gradsense.program.knowledge.functions import makes_a_network, makes_no_network
from gradsense.program.knowledge.names import canonical, is_installed_package
from gradsense.program.run import Frame, Run
from gradsense.program.state import ITEMS, State
from gradsense.program.values import (
    NOTHING,
    UNKNOWN,
    ClassValue,
    Closure,
    Collection,
    Instance,
    Items,
    Ref,
    Value,
    Where,
    join,
)
from gradsense.snapshot import (
    Answer,
    CallResult,
    ClassAncestry,
    FileSource,
    ImportedBy,
    InstalledVersion,
    ModuleSource,
    Question,
    SourceFile,
)

_OF_TRAINING = TELLING_NAMES | {"torch", "lightning", "pytorch_lightning", "ignite", "accelerate", "transformers"}


class Imports:
    """Answers of the snapshot, by what the interpreter asks; what isn't answered is kept as a question."""

    def __init__(self, file: File, answers: Mapping[Question, Answer], files: Files) -> None:
        self.main = file
        self.main_path = file.path
        self.answers = answers
        self.files = files
        self.questions: set[Question] = set()
        self.asked: set[Question] = set()
        """All that was asked, answered or not: what the analysis says depends on nothing else from outside."""
        self.classes: dict[ClassValue, ClassValue] = {}
        """The classes as they are now, for values that were made before an edit of their members."""
        self.orders: dict[ClassValue | Ref, tuple[list[ClassValue | Ref], bool, dict[str, tuple[str, ...] | None]]] = {}
        """Orders of look-up worked out so far, with the ancestries that they rest on."""
        self.classes_as_of = object()
        """Another one whenever a class is registered: what was found in classes before may be found no more."""
        self.found: dict[tuple[object, ...], object] = {}
        """What look-ups find now, by what runs have read: many have read the same."""
        self.asking: Run | None = None
        self._telling: dict[str, frozenset[str]] = {}
        self._far: dict[str, bool] = {}

    def ask(self, question: Question) -> Answer:
        """The answer to a question; where there is none yet, the question is kept, and None stands for it."""
        self.asked.add(question)
        answer = self.answers.get(question)
        if answer is None and question not in self.answers:
            self.questions.add(question)
        if self.asking is not None:
            self.asking.reads["answer", question] = answer
        return answer

    def resume(self, asked: Iterable[Question], classes: Iterable[ClassValue]) -> None:
        """Go on from where a run, with the same answers so far, had asked this and come across these classes."""
        for question in asked:
            self.ask(question)
        missing = {cls: cls for cls in classes if cls not in self.classes}
        if missing:
            self.classes.update(missing)
            self.classes_as_of = object()
            self.orders.clear()
            self.found.clear()

    def version(self, distribution: str) -> str | None:
        """The version of an installed distribution, where it is known."""
        answer = self.ask(InstalledVersion(distribution, self.main_path))
        return answer if isinstance(answer, str) else None

    def ancestry(self, name: str) -> tuple[str, ...] | None:
        """The bases of an installed package's class in method resolution order; None if unknown."""
        if not _is_askable(name) or makes_a_network(name):
            return None
        answer = self.ask(ClassAncestry(name, self.main_path))
        return answer if isinstance(answer, tuple) else None

    def call_result(self, name: str) -> tuple[str, ...] | None:
        """The class of what an installed package's function returns, and its bases; None if unknown."""
        if not _is_askable(name) or makes_no_network(name) or name.startswith(("torch.", "lightning.")):
            return None
        answer = self.ask(CallResult(name, self.main_path))
        return answer if isinstance(answer, tuple) else None

    def files_leading_here(self) -> Iterator[File]:
        """The user's files that import the main one, or what does, as far as they are known."""
        answer = self.ask(ImportedBy(self.main_path))
        for name in answer if isinstance(answer, tuple) else ():
            source = self.ask(FileSource(name, self.main_path))
            if isinstance(source, SourceFile):
                yield self.files[source.path]

    def of(self, file: File) -> Imports:
        """The imports of another of the user's files, as an analysis of that would find them: with the same answers,
        and the same list of questions."""
        other = Imports(file, self.answers, self.files)
        other.questions, other.asked = self.questions, self.asked
        return other

    def _file(self, module: str, importer: str) -> File | None:
        root = module.partition(".")[0]
        if not module.startswith(".") and is_installed_package(root):
            return None
        answer = self.ask(ModuleSource(module, importer))
        if not isinstance(answer, SourceFile):
            return None
        return self.files.get(answer.path)

    def telling_names(self, path: str) -> frozenset[str]:
        """Names whose call in a file of the user's may have to do with training: see `File.telling_beside`."""
        known = self._telling.get(path)
        if known is None:
            file = self.files[path]
            known = self._telling[path] = file.telling_beside(self._from_far_files(file))
        return known

    def _from_far_files(self, file: File) -> frozenset[str]:
        """The functions and classes that a file takes from files which have nothing to do with training."""
        silent: set[str] = set()
        for _, _, _, lowered in file.units:
            for statement in lowered.statements:
                if isinstance(statement, ir.ImportFrom):
                    inner = self._file(statement.module, file.path)
                    if inner is not None and self._is_far(inner):
                        defined = {where.unit for where, _, _, _ in inner.units}
                        silent.update(alias for name, alias in statement.names if name in defined)
        return frozenset(silent)

    def _is_far(self, file: File) -> bool:
        """Whether neither a file nor what it imports of the user's other files mentions torch or anything telling."""
        known = self._far.get(file.path)
        if known is not None:
            return known
        seen, stack, far = {file.path}, [file], True
        while stack and far:
            each = stack.pop()
            far = _OF_TRAINING.isdisjoint(each.document.names)
            for module in each.imported:
                inner = self._file(module, each.path)
                if inner is None:
                    far = far and not module.startswith(".")
                elif inner.path not in seen:
                    seen.add(inner.path)
                    stack.append(inner)
        self._far[file.path] = far
        return far

    def _frame_of(self, run: Run, state: State, file: File, wanted: Set[str] | None) -> int:
        """The frame that holds a file's names, after its body was run, or while it is. What the file only passes on is
        imported as far as it is `wanted` (None: all of it).
        """
        number = run.module_frames.get(file.path)
        left_out = run.left_out.get(file.path, NOTHING)
        missing = left_out if wanted is None else left_out & wanted
        if number is not None and (not missing or number not in state.frames):
            return number
        run.muted += 1
        outer_assumed = state.assumed
        try:
            if number is None:
                number = run_module(run, state, file, wanted=wanted)
            else:
                run.left_out[file.path] = left_out - missing
                _import_again(run, state, file, number, missing)
        finally:
            run.muted -= 1
        state.assumed = outer_assumed
        return number

    def module(self, run: Run, frame: Frame, state: State, dotted: str) -> Value:
        """`import dotted`."""
        file = self._file(dotted, frame.file.path)
        if file is not None:
            return self._as_value(run, frame, state, file)
        return Ref(canonical(dotted))

    def _as_value(self, run: Run, frame: Frame, state: State, file: File) -> Value:
        """A module, of which whoever has imported it may use whatever it mentions."""
        self._frame_of(run, state, file, frame.file.document.names)
        return Ref(f"file:{file.path}")

    def member(self, run: Run, frame: Frame, state: State, module: str, name: str) -> Value:
        """`from module import name`."""
        file = self._file(module, frame.file.path)
        if file is not None:
            value = self._variable(run, state, file, name, set())
            if value is not None:
                return _as_others_may_leave_it(run, state, value)
        elif not module.startswith("."):
            return Ref(canonical(f"{module}.{name}"))
        inner = self._file(f"{module}{'' if module.endswith('.') else '.'}{name}", frame.file.path)
        return self._as_value(run, frame, state, inner) if inner is not None else UNKNOWN

    def _variable(self, run: Run, state: State, file: File, name: str, seen: set[str]) -> Value | None:
        """A module's variable; one that comes by `import *`, too, if nobody had wanted it when that was run."""
        seen.add(file.path)
        number = self._frame_of(run, state, file, {name})
        value = state.variable(number, name)
        for star in () if name.startswith("_") else file.stars:
            behind = self._file(star, file.path)
            if behind is None or behind.path in seen:
                continue
            if value is None or self._is_left_out_behind(run, behind, name, set()):
                found = self._variable(run, state, behind, name, seen)
                if found is not None:
                    # Which of several comes last isn't told by the order in which they are wanted.
                    value = found if value is None else join(value, found)
                    state.set_variable(number, name, value)
        return value

    def _is_left_out_behind(self, run: Run, file: File, name: str, seen: set[str]) -> bool:
        """Whether a module, or one that it takes everything from, has left out a name."""
        seen.add(file.path)
        if name in run.left_out.get(file.path, NOTHING):
            return True
        behind = (self._file(star, file.path) for star in file.stars)
        return any(self._is_left_out_behind(run, each, name, seen) for each in behind if each and each.path not in seen)

    def everything(self, run: Run, frame: Frame, state: State, module: str) -> dict[str, Value]:
        """`from module import *`, as far as somebody wants it."""
        file = self._file(module, frame.file.path)
        if file is None:
            # What a library hands on under this name is nothing else.
            return {"torch": Ref("torch")}
        wanted = frame.wanted if frame.wanted is None else frame.wanted | frame.file.mentioned
        number = self._frame_of(run, state, file, wanted)
        return {name: value for name, value in state.frames.get(number, {}).items() if not name.startswith("_")}

    def attribute(self, run: Run, frame: Frame, state: State, receiver: Ref, name: str) -> Value:
        """`receiver.name` on a module or something else from outside."""
        if receiver.name.startswith("file:"):
            file = self.files.get(receiver.name[5:])
            if file is None:
                return UNKNOWN
            value = expressions.module_variable(run, state, file.path, name)
            if value is None and file.path in run.module_frames:
                value = self._variable(run, state, file, name, set())
            return _as_others_may_leave_it(run, state, value) if value is not None else UNKNOWN
        if receiver.name == "builtins.text":
            return Ref(f"builtins.str.{name}")
        return Ref(canonical(f"{receiver.name}.{name}"))


def _is_askable(name: str) -> bool:
    root = name.partition(".")[0]
    return "." in name and not name.startswith(("builtins.", "?", "file:")) and root not in _SETTLED


_SETTLED = frozenset(
    """abc typing enum dataclasses collections torch numpy logging argparse unittest math random os sys time json
    functools itertools contextlib pathlib copy tqdm""".split()
)


def run_module(
    run: Run, state: State, file: File, definitions_only: bool = False, wanted: Set[str] | None = None
) -> int:
    """Run a module's body, or only its functions, classes and imports; gives the number of the frame with its names.

    Of what it only passes on, what isn't `wanted` is left out, with all that it would lead to (`Run.left_out`).
    """
    number = run.frame_number()
    run.module_frames[file.path] = number
    frame = _module_frame(file, number)
    frame.wanted = wanted
    state.frames[number] = {}
    if definitions_only:
        definitions.define(run, frame, state, file.units)
    elif len(file.cells) > 1:
        run.changes = cells.run_in_order(run, frame, state, file)
    else:
        units = file.units
        if len(run.module_frames) == 1:
            first = definitions.first_imports(units)
            imported.run_imports(run, frame, state, first)
            units = units[len(first) :]
        statements.run_units(run, frame, state, units)
    return number


def _import_again(run: Run, state: State, file: File, number: int, names: frozenset[str]) -> None:
    """Import what a module passes on and nobody had wanted before. Where there are several imports of a name, or it has
    a value already, it may be any of these: conditions are not looked at again.
    """
    frame = _module_frame(file, number)
    places = {where for name in names for where in file.passed_on[name]}
    for where, _, tree, lowered in file.units:
        if where not in places:
            continue
        frame.where, frame.tree = where, tree
        for node in imports_in(lowered.statements, tree):
            if isinstance(node, ir.Import):
                bound = [(alias or dotted.partition(".")[0], dotted, alias) for dotted, alias in node.names]
                found = [
                    (name, run.imports.module(run, frame, state, dotted if alias else name))
                    for name, dotted, alias in bound
                    if name in names
                ]
            else:
                found = [
                    (alias, run.imports.member(run, frame, state, node.module, name))
                    for name, alias in node.names
                    if alias in names and name != "*"
                ]
            for name, value in found:
                before = state.variable(number, name)
                state.set_variable(number, name, value if before is None else join(before, value))


def _as_others_may_leave_it(run: Run, state: State, value: Value) -> Value:
    """A module's variable where some imports were left out: what these run may add to a list or dict (a registry)."""
    if run.left_out and isinstance(value, (Collection, Instance)) and not class_lookup.is_module(value):
        attributes = state.attributes(value.obj)
        held = [item for item in attributes.values() if isinstance(item, Collection)]
        for each in (value, *held):
            items = state.attributes(each.obj).get(ITEMS)
            if isinstance(items, Items):
                state.set_attribute(each.obj, ITEMS, Items(None, join(items.element, UNKNOWN)))
    return value


def run_cells_again(run: Run, state: State, file: File, before: Run, changes: cells.Changes) -> None:
    """Run the cells of a notebook as ones that may be run in any order, from the `state` in which the run `before` has
    left them when it ran all of them from top to bottom.
    """
    run.frames = before.frames
    run.module_frames = dict(before.module_frames)
    run.left_out = dict(before.left_out)
    run.holdings = dict(before.holdings)
    run.optimizers = dict(before.optimizers)
    run.copies = dict(before.copies)
    cells.run_in_any_order(run, _module_frame(file, run.module_frames[file.path]), state, file, changes)


def _module_frame(file: File, number: int) -> Frame:
    frame = Frame(number, file, Where(file.path, "", (0,)), None, None, Closure(file.path), (), ())
    frame.keeps = True
    return frame
