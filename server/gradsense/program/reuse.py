"""Which runs of a file still stand after an edit: those of which everything that they have read is still the same."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from gradsense.program import class_lookup, duck_types, hidden, quiet
from gradsense.program.imports import Imports
from gradsense.program.memory import Memory
from gradsense.program.run import STEPS, Exhausted, Run
from gradsense.program.state import State
from gradsense.program.values import (
    Choice,
    ClassValue,
    Const,
    FunctionValue,
    Member,
    Ref,
    TupleValue,
    Unknown,
)
from gradsense.snapshot import SourceFile

R = TypeVar("R")

_BUDGETS = STEPS, 6_000, 1_000
"""The steps that a run may take where none of the file has given up before, where one has, and where several have."""

DEFINED = (FunctionValue, ClassValue)
_GONE = object()
"""Equal to nothing that was found."""


class Reuse:
    """The runs of one analysis: remembered ones where they hold, new ones otherwise."""

    def __init__(self, imports: Imports, memory: Memory, steps: int | None = None) -> None:
        """With `steps`, all runs together may take no more."""
        self.imports = imports
        self.left = steps
        self.incomplete: set[str] = set()
        """The entries whose runs did not come to their end."""
        self.world: object = None
        """The token of the script's run, behind which all others begin."""
        self.frames: tuple[dict[str, int], State] = {}, State()
        """The frame of each file's variables, and the state that has them: what is found there now."""
        self._memory = memory
        self._asker = Run(imports, "")
        self._given_up = 0
        self._lent: list[Run] = []

    def take(
        self, kind: str, name: str, content: tuple[object, ...], begin: Callable[[], Run], work: Callable[[Run], R]
    ) -> tuple[Run, R] | None:
        """What `work` gives for an entry of this file with this `content`, from memory while everything that its run
        has read is still the same; None if the run's budget was spent on the way, which is remembered, too.

        What a `script` reads of its own variables is its own doing: only definitions and answers are compared.
        """
        budget = _BUDGETS[min(self._given_up, len(_BUDGETS) - 1)]
        if self.left is not None:
            budget = min(budget, self.left)
            if not budget:
                self.incomplete.add(name)
                return None
        script, entry = kind == "script", (kind, name)
        for result in self._memory.results(entry, content, budget):
            if self._holds(result.run, script):
                self._memory.use(entry, result)
                run, value = result.run, result.value
                run.imports = self.imports
                self._lent.append(run)
                steps = result.steps
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
            steps = budget - run.remaining
            # What was cut off for the sake of others is no use to the file's own analysis.
            is_cut = value is None and self.left is not None
            reads = run.reads.items()
            if not is_cut and (script or all(self._is_of_the_script(*read) or _is_comparable(v) for read, v in reads)):
                self._memory.keep(entry, content, budget, run, value)
                self._lent.append(run)
        if self.left is not None:
            self.left = max(0, self.left - steps)
        if value is None:
            self._given_up += 1
            self.incomplete.add(name)
            return None
        return run, value

    def _is_of_the_script(self, kind: object, *read: object) -> bool:
        """Whether what was read is as the script has left it: a variable, or an attribute of another file's class."""
        return kind == "name" or (
            kind == "member" and isinstance(read[0], ClassValue) and read[0].code.where.path != self.imports.main_path
        )

    def _holds(self, run: Run, script: bool) -> bool:
        frames, state = self.frames
        changed = not script and run.world is not self.world
        for read, value in run.reads.items():
            if changed and self._is_of_the_script(*read) and not _is_comparable(value):
                # What an object holds is in no value: it is as it was only if the script is.
                return False
            now: object
            if read[0] == "name":
                _, path, name = read
                if script and (not isinstance(value, DEFINED) or path != self.imports.main_path):
                    continue
                frame = frames.get(path)  # type: ignore[call-overload]
                now = state.variable(frame, name) if frame is not None else None  # type: ignore[arg-type]
            elif read[0] == "member" and read[1] not in self.imports.classes and (script or _made_by(run, *read[1:])):
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

    def let_go(self) -> None:
        """All that was asked for has been told: the runs that are remembered hold the file no longer.

        A text of 2,000 lines with its blocks takes 0.3 MB, and one edit may leave a run behind that nobody asks for
        again. What is still asked for gets the file of whoever asks.
        """
        for run in self._lent:
            with contextlib.suppress(AttributeError):
                del run.imports
        self._lent.clear()


def _made_by(run: Run, cls: object, name: object, after: object) -> bool:
    """Whether a member is one of a class that the run itself has defined, in a function: it is as that is, and so is
    what that has from outside of the user's files.
    """
    made = run.local_classes.get(cls.code.where) if isinstance(cls, ClassValue) and after is None else None
    return made is not None and (name in made.members or all(isinstance(base, Ref) for base in made.bases))


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
